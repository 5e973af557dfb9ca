"""What obstore's errors become: one sentence, of the right kind, without the server's text or a secret."""

import pytest

from data_io.sentinel2.failures import (
    ChangedError,
    CutShortError,
    DeniedError,
    NotFoundError,
    PastEndError,
    StoreError,
    TransientError,
    WholeOnlyError,
    failure_of,
)


def refused(status: int, code: str) -> Exception:
    body = f"<Error><Code>{code}</Code><Message>m\nAKIASECRET</Message></Error>"
    return RuntimeError(
        f"Error performing GET http://u - Server returned non-2xx status code: {status} X: {body}"
    )


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refused(401, "Unauthorized"), DeniedError, "answered 401 Unauthorized; try this"),
        (refused(403, "AccessDenied"), DeniedError, "answered 403 AccessDenied; try this"),
        (refused(403, "InvalidObjectState"), StoreError, "archive class"),
        (refused(404, "NoSuchKey"), NotFoundError, "404 NoSuchKey"),
        (refused(412, "PreconditionFailed"), ChangedError, "replaced"),
        (refused(416, "InvalidRange"), PastEndError, "beyond the object's end"),
        (refused(429, "SlowDown"), TransientError, "fewer --threads"),
        (refused(503, "SlowDown"), TransientError, "503 SlowDown at every attempt"),
        (refused(400, "AuthorizationHeaderMalformed"), StoreError, "another region"),
        (refused(400, "InvalidArgument"), StoreError, "check --endpoint-url"),
        (RuntimeError("Received redirect without LOCATION"), StoreError, "another region"),
        (
            RuntimeError("Received non-partial response when range requested"),
            WholeOnlyError,
            "whole files only",
        ),
        (RuntimeError("error sending request ... kind: Timeout"), TransientError, "no answer in time"),
        (RuntimeError("HTTP error: error sending request"), TransientError, "no connection to http://s3"),
        (RuntimeError("request or response body error"), CutShortError, "cut short"),
    ],
    ids=str,
)
def test_every_failure_is_one_sentence_of_its_kind(
    error: Exception, kind: type[StoreError], words: str
) -> None:
    failure = failure_of("s3://b/k", error, "try this", where="http://s3")
    assert type(failure) is kind
    assert str(failure).startswith("s3://b/k: ")
    assert words in str(failure)
    assert "\n" not in str(failure)
    assert "AKIASECRET" not in str(failure)
