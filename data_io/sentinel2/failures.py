"""What can go wrong with a stored object, as exceptions and in one sentence each."""

import re

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")


class StoreError(Exception):
    """An object could not be read. The message names it, what the server answered, and what to try."""


class TransientError(StoreError):
    """The same request may succeed later."""


class CutShortError(TransientError):
    """An answer was cut short, and could not be continued."""


class DeniedError(StoreError):
    """401 or 403: the server refuses the request."""


class NotFoundError(StoreError):
    """404: there is no such object or bucket."""


class ChangedError(StoreError):
    """412: the object has been replaced since it was listed."""


class PastEndError(StoreError):
    """416: the range begins at or after the end of the object."""


class WholeOnlyError(StoreError):
    """The server ignores ranges."""


def failure_of(name: str, error: Exception, denied: str, server: str = "S3", where: str = "") -> StoreError:
    """The StoreError for what obstore raised after its retries; it repeats the error code, but no message.

    name: of the object. denied: what to try where reading is refused. server, where: what answered, and its
    address, for messages.
    """
    text = str(error)
    found, coded = _STATUS.search(text), _CODE.search(text)
    if found:
        code = coded[1] if coded else ""
        answered = f"{name}: {server} answered {found[1]} {code}".rstrip()
        return _refusal(answered, int(found[1]), code, denied)
    whole = "its server sends whole files only, and no ranges of them"
    for sign, kind, reason in (
        ("Range request not supported", WholeOnlyError, whole),
        ("non-partial response", WholeOnlyError, whole),
        ("without LOCATION", StoreError, "it is in another region; check --endpoint-url"),
        ("kind: Timeout", TransientError, "no answer in time; run the command again"),
        (
            "error sending request",
            TransientError,
            f"no connection to {where or server}; check the network and --endpoint-url, and run again",
        ),
    ):
        if sign in text:
            return kind(f"{name}: {reason}")
    return CutShortError(f"{name}: the answer was cut short; run the command again")


def _refusal(answered: str, status: int, code: str, denied: str) -> StoreError:
    if code == "InvalidObjectState":
        return StoreError(f"{answered}: it is in an archive class; ask the bucket's owner to restore it")
    if code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}:
        return StoreError(f"{answered}: it is in another region; check --endpoint-url")
    known: dict[int, tuple[type[StoreError], str]] = {
        401: (DeniedError, denied),
        403: (DeniedError, denied),
        404: (NotFoundError, "check --endpoint-url; a scene may still be on its way into the bucket"),
        412: (ChangedError, "it was replaced meanwhile; run the command again"),
        416: (PastEndError, "the range lies beyond the object's end; run the command again"),
    }
    if status in known:
        kind, advice = known[status]
        return kind(f"{answered}; {advice}")
    if status >= 500 or status in {408, 429}:
        return TransientError(f"{answered} at every attempt; run the command again, with fewer --threads")
    return StoreError(f"{answered}; check --endpoint-url and the options")
