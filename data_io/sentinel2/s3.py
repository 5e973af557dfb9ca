"""A bucket on S3: list, read and stream its objects, with one sentence for every failure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from data_io.errors import DataError
from data_io.sentinel2.traffic import Traffic

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

# Errors that may pass; boto3 has already retried them when they get here.
_PASSING_ERRORS = {
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "Throttling",
    "RequestLimitExceeded",
}


class StoreError(Exception):
    """An object could not be read. The message names the key, what S3 answered, and what to try."""


class TransientError(StoreError):
    """The same request may succeed later."""


class CutShortError(TransientError):
    """An answer was cut short."""


class DeniedError(StoreError):
    """403: S3 refuses the request."""


class NotFoundError(StoreError):
    """404: there is no such object or bucket."""


class ChangedError(StoreError):
    """412: the object has been replaced since it was listed."""


class PastEndError(StoreError):
    """416: the range begins at or after the end of the object."""


@dataclass(frozen=True)
class Access:
    """How to reach a bucket.

    attempts: how often a request that fails is made. Timeouts are in seconds. threads: requests at once.
    """

    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    unsigned: bool = False
    requester_pays: bool = False
    threads: int = 16
    attempts: int = 6
    connect_timeout: float = 10
    read_timeout: float = 30


@dataclass(frozen=True)
class StoredObject:
    """An object in the bucket: its key, its size in bytes, and its ETag without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Answer:
    """The answer to a GET, whose body is to be closed.

    start: offset of the body's first byte in the object. total: size of the whole object in bytes.
    """

    body: Any
    start: int
    total: int
    etag: str


class Store:
    """A bucket and a client for it, for all threads of one process."""

    def __init__(self, bucket: str, access: Access) -> None:
        self.bucket = bucket
        self.access = access
        self.traffic = Traffic()
        self._client, self.unsigned = _make_client(access)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin with `prefix`."""
        for page in self._pages(prefix, {}):
            for item in page.get("Contents", ()):
                yield StoredObject(item["Key"], int(item["Size"]), item["ETag"].strip('"'))

    def folders(self, prefix: str) -> list[str]:
        """The folders directly under `prefix`; it ends with a slash, and so does each of them."""
        pages = self._pages(prefix, {"Delimiter": "/"})
        return [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]

    def head(self, key: str) -> StoredObject:
        """The size and ETag that an object has now."""
        with self._translated_errors(key):
            self.traffic.sent("HEAD")
            answer = self._client.head_object(Bucket=self.bucket, Key=key, **self._payer())
        return StoredObject(key, int(answer["ContentLength"]), answer["ETag"].strip('"'))

    def read(self, key: str, range_: str = "", limit: int = 4 << 20) -> Answer:
        """Read a small object, or a range of it ("-16384", "0-2047"); the answer's `body` is bytes.

        At most `limit` bytes are read. If the answer breaks off in a way that may pass, it is tried again.
        """
        for attempt in range(self.access.attempts):
            last = attempt + 1 == self.access.attempts
            try:
                with self._translated_errors(key):
                    answer = self.get(key, range_)
                    try:
                        content = self._take(answer, limit)
                    finally:
                        answer.body.close()
                return Answer(content, answer.start, answer.total, answer.etag)
            except TransientError as error:
                # boto3 retries the rest itself, but refuses to when too much fails at once.
                if last or (attempt and not isinstance(error, CutShortError)):
                    raise
        raise AssertionError

    def get(self, key: str, range_: str = "", etag: str = "") -> Answer:
        """Open an object, or a range of it, if it still has `etag`; read the answer with `chunks`."""
        wanted = {"Range": f"bytes={range_}"} if range_ else {}
        if etag:
            wanted["IfMatch"] = f'"{etag}"'
        with self._translated_errors(key):
            self.traffic.sent("GET")
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **wanted, **self._payer())
        length = int(answer["ContentLength"])
        where = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
        start, total = (int(where.group(1)), int(where.group(3))) if where else (0, length)
        return Answer(answer["Body"], start, total, answer["ETag"].strip('"'))

    def chunks(self, key: str, answer: Answer, size: int = 1 << 18) -> Iterator[bytes]:
        """The body in pieces. Raises TransientError if it is cut short."""
        with self._translated_errors(key):
            while chunk := answer.body.read(size):
                self.traffic.came(len(chunk))
                yield chunk

    def _take(self, answer: Answer, limit: int) -> bytes:
        content: bytes = answer.body.read(limit if answer.total - answer.start > limit else None)
        self.traffic.came(len(content))
        return content

    def _pages(self, prefix: str, extra: dict[str, str]) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            with self._translated_errors(prefix):
                self.traffic.sent("LIST")
                page = self._client.list_objects_v2(
                    Bucket=self.bucket, Prefix=prefix, **extra, **token, **self._payer()
                )
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.access.requester_pays else {}

    @contextmanager
    def _translated_errors(self, key: str) -> Iterator[None]:
        """Turn botocore's errors into StoreErrors, which repeat S3's error code but never its message."""
        from botocore import exceptions as boto  # type: ignore[import-untyped, unused-ignore]

        name = f"s3://{self.bucket}/{key}"
        try:
            yield
        except boto.ClientError as error:
            raise self._error_of(name, error.response) from error
        except (boto.ReadTimeoutError, boto.ConnectTimeoutError) as error:
            raise TransientError(f"{name}: no answer in time; run the command again") from error
        except (boto.IncompleteReadError, boto.ResponseStreamingError) as error:
            raise CutShortError(f"{name}: the answer was cut short; run the command again") from error
        except (boto.EndpointConnectionError, boto.ConnectionClosedError, boto.HTTPClientError) as error:
            where = self.access.endpoint_url or "S3"
            raise TransientError(
                f"{name}: no connection to {where}; check the network and --endpoint-url, and run again"
            ) from error
        except boto.FlexibleChecksumError as error:
            raise TransientError(
                f"{name}: the answer does not have the checksum that S3 states; run the command again"
            ) from error
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
        ) as error:
            raise DeniedError(
                f"{name}: the AWS credentials are incomplete; complete them, name others with --profile, "
                "or give --unsigned"
            ) from error
        except (boto.BotoCoreError, OSError) as error:
            kind = type(error).__name__
            raise TransientError(f"{name}: the request failed ({kind}); run the command again") from error

    def _error_of(self, name: str, response: dict[str, Any]) -> StoreError:
        code = str(response.get("Error", {}).get("Code", ""))[:60]
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        answered = (
            f"{name}: S3 answered {status} {code}".rstrip()
            if code != str(status)
            else f"{name}: S3 answered {status}"
        )
        if code == "InvalidObjectState":
            return StoreError(f"{answered}: it is in an archive class; ask the bucket's owner to restore it")
        known: dict[int, tuple[type[StoreError], str]] = {
            403: (DeniedError, self._advice()),
            404: (NotFoundError, "check --endpoint-url; a scene may still be on its way into the bucket"),
            412: (ChangedError, "it was replaced meanwhile; run the command again"),
            416: (PastEndError, "the range lies beyond the object's end; run the command again"),
        }
        if status in known:
            kind, advice = known[status]
            return kind(f"{answered}; {advice}")
        if status in {301, 307, 400} and code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}:
            return StoreError(f"{answered}: the bucket is not in the region {self.access.region}")
        if status >= 500 or status in {408, 429} or code in _PASSING_ERRORS:
            return TransientError(f"{answered} at every attempt; run the command again, with fewer --threads")
        return StoreError(f"{answered}; check --endpoint-url and the options")

    def _advice(self) -> str:
        if self.unsigned:
            return (
                "the requests were unsigned, as with --unsigned: give credentials (AWS_PROFILE or "
                "--profile NAME), and --requester-pays if the bucket bills its readers"
            )
        if self.access.requester_pays:
            return (
                "the credentials may be wrong or not allowed to read: try --profile NAME, or --unsigned "
                "without --requester-pays"
            )
        return (
            "if the bucket bills its readers give --requester-pays; if the credentials are wrong try "
            "--profile NAME; if it is public try --unsigned"
        )


def session_of(access: Access) -> tuple[Any, bool]:
    """A session of boto3, and whether requests are unsigned. Raises DataError for unusable settings."""
    import boto3  # type: ignore[import-untyped, unused-ignore]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped, unused-ignore]

    if access.endpoint_url:
        try:
            parts = urlsplit(access.endpoint_url)
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise DataError("--endpoint-url is not an http:// or https:// address: give one, or leave it out")
        if parts.username or parts.password:
            raise DataError("--endpoint-url contains a user or password: leave them out and use --profile")
    try:
        session = boto3.Session(profile_name=access.profile)
        unsigned = access.unsigned or session.get_credentials() is None
    except (BotoCoreError, ValueError) as error:
        raise _unusable(access, error) from error
    if unsigned and access.requester_pays:
        raise DataError(
            "--requester-pays needs AWS credentials, as somebody has to be billed: set AWS_PROFILE or "
            "give --profile NAME, and leave --unsigned out"
        )
    return session, unsigned


def _make_client(access: Access) -> tuple[Any, bool]:
    """A client, and whether its requests are unsigned. Raises DataError for unusable settings."""
    from botocore import UNSIGNED
    from botocore.config import Config  # type: ignore[import-untyped, unused-ignore]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped, unused-ignore]

    session, unsigned = session_of(access)
    try:
        client = session.client(
            "s3",
            region_name=access.region,
            endpoint_url=access.endpoint_url,
            config=Config(
                signature_version=UNSIGNED if unsigned else None,
                max_pool_connections=access.threads,
                retries={"mode": "standard", "total_max_attempts": access.attempts},
                connect_timeout=access.connect_timeout,
                read_timeout=access.read_timeout,
                s3={"addressing_style": "path"} if access.endpoint_url else {},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise _unusable(access, error) from error
    return client, unsigned


def _unusable(access: Access, error: Exception) -> DataError:
    what = f"profile {access.profile!r}" if access.profile else "AWS settings"
    return DataError(
        f"the {what} cannot be used ({type(error).__name__}): check ~/.aws/config and --profile, or give "
        "--unsigned"
    )
