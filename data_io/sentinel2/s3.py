"""A bucket on S3: list, read and stream objects, with every failure told in one sentence."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from data_io.errors import DataError

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

# Answers that the next try may not get; boto3 has tried these itself when they reach us.
_PASSING = {
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "Throttling",
    "RequestLimitExceeded",
}


class StoreError(Exception):
    """An object could not be had. The message names the key, what S3 said, and what to try."""


class TransientError(StoreError):
    """The same request may succeed later."""


class CutShortError(TransientError):
    """An answer ended before its end."""


class DeniedError(StoreError):
    """403."""


class NotFoundError(StoreError):
    """404."""


class ChangedError(StoreError):
    """412: the object is not the one that was listed."""


class PastEndError(StoreError):
    """416: the range begins at or after the object's end."""


@dataclass(frozen=True)
class Access:
    """How a bucket is reached.

    attempts: requests made before a passing failure counts. Timeouts in seconds. threads: requests at once.
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
    """A key with its size in bytes and its ETag, without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Answer:
    """An open GET, to be closed. start: offset of its first byte; total: the object's whole size."""

    body: Any
    start: int
    total: int
    etag: str


class Store:
    """One bucket and one client, for one process and its threads; counts requests and received bytes."""

    def __init__(self, bucket: str, access: Access) -> None:
        self.bucket = bucket
        self.access = access
        self.requests: dict[str, int] = {"LIST": 0, "GET": 0, "HEAD": 0}
        self.received = 0
        self._lock = threading.Lock()
        self._client, self.unsigned = _client(access)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose key begins with `prefix`, page by page."""
        for page in self._pages(prefix, {}):
            for item in page.get("Contents", ()):
                yield StoredObject(item["Key"], int(item["Size"]), item["ETag"].strip('"'))

    def folders(self, prefix: str) -> list[str]:
        """The folders directly under `prefix`, which ends with a slash; each ends with one too."""
        pages = self._pages(prefix, {"Delimiter": "/"})
        return [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]

    def head(self, key: str) -> StoredObject:
        """The object as it is now."""
        with self._telling(key):
            self._count("HEAD")
            answer = self._client.head_object(Bucket=self.bucket, Key=key, **self._payer())
        return StoredObject(key, int(answer["ContentLength"]), answer["ETag"].strip('"'))

    def read(self, key: str, range_: str = "", limit: int = 4 << 20) -> Answer:
        """A small object, or a range of it ("-16384", "0-2047"), read whole: `body` is bytes.

        At most `limit` bytes are read. A passing failure inside the body is tried again.
        """
        for attempt in range(self.access.attempts):
            last = attempt + 1 == self.access.attempts
            try:
                with self._telling(key):
                    answer = self.get(key, range_)
                    try:
                        content = self._take(answer, limit)
                    finally:
                        answer.body.close()
                return Answer(content, answer.start, answer.total, answer.etag)
            except TransientError as error:
                # boto3 has tried the rest itself, but refuses to when much fails at once.
                if last or (attempt and not isinstance(error, CutShortError)):
                    raise
        raise AssertionError

    def get(self, key: str, range_: str = "", etag: str = "") -> Answer:
        """Open an object at a range, on condition that it still has `etag`; read it with `chunks`."""
        wanted = {"Range": f"bytes={range_}"} if range_ else {}
        if etag:
            wanted["IfMatch"] = f'"{etag}"'
        with self._telling(key):
            self._count("GET")
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **wanted, **self._payer())
        length = int(answer["ContentLength"])
        where = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
        start, total = (int(where.group(1)), int(where.group(3))) if where else (0, length)
        return Answer(answer["Body"], start, total, answer["ETag"].strip('"'))

    def chunks(self, key: str, answer: Answer, size: int = 1 << 18) -> Iterator[bytes]:
        """The body, piece by piece. Raises TransientError where it ends early."""
        with self._telling(key):
            while chunk := answer.body.read(size):
                with self._lock:
                    self.received += len(chunk)
                yield chunk

    def _take(self, answer: Answer, limit: int) -> bytes:
        content: bytes = answer.body.read(limit if answer.total - answer.start > limit else None)
        with self._lock:
            self.received += len(content)
        return content

    def _pages(self, prefix: str, extra: dict[str, str]) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            with self._telling(prefix):
                self._count("LIST")
                page = self._client.list_objects_v2(
                    Bucket=self.bucket, Prefix=prefix, **extra, **token, **self._payer()
                )
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.access.requester_pays else {}

    def _count(self, method: str) -> None:
        with self._lock:
            self.requests[method] += 1

    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        """Turn botocore's errors into StoreErrors. Only S3's error code is repeated, never its message."""
        from botocore import exceptions as boto  # type: ignore[import-untyped, unused-ignore]

        name = f"s3://{self.bucket}/{key}"
        try:
            yield
        except boto.ClientError as error:
            raise self._told(name, error.response) from error
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
                f"{name}: the answer has another checksum than S3 says; run again"
            ) from error
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
        ) as error:
            raise DeniedError(
                f"{name}: the AWS credentials are incomplete; mend them, name others with --profile, or give "
                "--unsigned"
            ) from error
        except (boto.BotoCoreError, OSError) as error:
            kind = type(error).__name__
            raise TransientError(f"{name}: the request failed ({kind}); run the command again") from error

    def _told(self, name: str, response: dict[str, Any]) -> StoreError:
        code = str(response.get("Error", {}).get("Code", ""))[:60]
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        said = (
            f"{name}: S3 said {status} {code}".rstrip()
            if code != str(status)
            else f"{name}: S3 said {status}"
        )
        if code == "InvalidObjectState":
            return StoreError(f"{said}: it lies in an archive class; ask the bucket's owner to restore it")
        known: dict[int, tuple[type[StoreError], str]] = {
            403: (DeniedError, self._what_to_try()),
            404: (NotFoundError, "check --endpoint-url; a scene may still be on its way into the bucket"),
            412: (ChangedError, "it was replaced meanwhile; run the command again"),
            416: (PastEndError, "nothing lies at that range; run the command again"),
        }
        if status in known:
            kind, advice = known[status]
            return kind(f"{said}; {advice}")
        if status in {301, 307, 400} and code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}:
            return StoreError(f"{said}: the bucket lies in another region than {self.access.region}")
        if status >= 500 or status in {408, 429} or code in _PASSING:
            return TransientError(f"{said} at every try; run the command again, with fewer --threads")
        return StoreError(f"{said}; check --endpoint-url and the options")

    def _what_to_try(self) -> str:
        if self.unsigned:
            return (
                "the requests were unsigned: give credentials (AWS_PROFILE or --profile NAME), and "
                "--requester-pays if the bucket bills its readers; --unsigned is what was tried"
            )
        if self.access.requester_pays:
            return (
                "the credentials may be wrong or lack the right to read: try --profile NAME, or --unsigned "
                "without --requester-pays"
            )
        return (
            "if the bucket bills its readers give --requester-pays; if the credentials are wrong try "
            "--profile NAME; if it is public try --unsigned"
        )


def _client(access: Access) -> tuple[Any, bool]:
    """A client, and whether it sends its requests unsigned. Raises DataError for unusable settings."""
    import boto3  # type: ignore[import-untyped, unused-ignore]
    from botocore import UNSIGNED
    from botocore.config import Config  # type: ignore[import-untyped, unused-ignore]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped, unused-ignore]

    if access.endpoint_url:
        try:
            parts = urlsplit(access.endpoint_url)
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise DataError("--endpoint-url is no http:// or https:// address: give one, or leave it out")
        if parts.username or parts.password:
            raise DataError("--endpoint-url holds a user or password: leave them out and use --profile")
    try:
        session = boto3.Session(profile_name=access.profile)
        unsigned = access.unsigned or session.get_credentials() is None
        if unsigned and access.requester_pays:
            raise DataError(
                "--requester-pays needs AWS credentials, for somebody has to be billed: set AWS_PROFILE or "
                "give --profile NAME, and leave --unsigned out"
            )
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
        if isinstance(error, DataError):
            raise
        kind = type(error).__name__
        what = f"profile {access.profile!r}" if access.profile else "AWS settings"
        raise DataError(
            f"the {what} cannot be used ({kind}): check ~/.aws/config and --profile, or give --unsigned"
        ) from error
    return client, unsigned
