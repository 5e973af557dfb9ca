"""Byte ranges of objects behind HTTP and S3 addresses, counted, with one sentence for every failure."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.s3 import (
    Access,
    ChangedError,
    DeniedError,
    NotFoundError,
    StoreError,
    TransientError,
    session_of,
)
from data_io.sentinel2.traffic import Traffic

if TYPE_CHECKING:
    from obstore.store import HTTPStore, S3Store

CLOUD_REGION = "us-west-2"
"""Where the buckets of Earth Search are."""

GAP = 1 << 16
"""Ranges with at most so many bytes between them are read as one."""

MOST = 4 << 20
"""Largest range that is read in one request; more of them run side by side."""

_STATUS = re.compile(r"status code: (\d{3})")


class Remote:
    """Opens addresses, for all threads; servers are connected to once."""

    def __init__(self, access: Access, traffic: Traffic, received: Callable[[int], None]) -> None:
        self._access, self._traffic, self._received = access, traffic, received
        self._stores: dict[str, HTTPStore | S3Store] = {}
        self._lock = threading.Lock()

    def open(self, address: str) -> "RemoteFile":
        """The file at an http://, https:// or s3:// address. Raises StoreError for any other."""
        parts = urlsplit(address)
        root = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in {"http", "https", "s3"} or not parts.netloc or parts.query:
            raise StoreError(f"{address}: images are read from http, https and s3 addresses only")
        with self._lock:
            if root not in self._stores:
                self._stores[root] = self._s3(parts.netloc) if parts.scheme == "s3" else self._http(root)
            store = self._stores[root]
        return RemoteFile(store, address, unquote(parts.path.lstrip("/")), self._traffic, self._received)

    def _http(self, root: str) -> "HTTPStore":
        from obstore.store import HTTPStore

        return HTTPStore(root, **self._settings())

    def _s3(self, bucket: str) -> "S3Store":
        from obstore.store import S3Store

        session, unsigned = session_of(self._access)
        more: dict[str, Any] = {"skip_signature": True} if unsigned else {}
        if not unsigned:
            from obstore.auth.boto3 import Boto3CredentialProvider

            more["credential_provider"] = Boto3CredentialProvider(session)
        if self._access.endpoint_url:
            more["endpoint"] = self._access.endpoint_url
        region, payer = self._access.region, self._access.requester_pays
        return S3Store(bucket, region=region, request_payer=payer, **more, **self._settings())

    def _settings(self) -> dict[str, Any]:
        access, seconds = self._access, timedelta(seconds=1)
        return {
            "client_options": {
                "allow_http": True,
                "connect_timeout": access.connect_timeout * seconds,
                "read_timeout": access.read_timeout * seconds,
                "timeout": 600 * seconds,
            },
            "retry_config": {
                "max_retries": access.attempts - 1,
                "backoff": {"init_backoff": 0.1 * seconds, "max_backoff": 10 * seconds, "base": 2},
            },
        }


class RemoteFile:
    """One file, as async-geotiff reads it. It is refused once it is not any more what it was at first.

    error: what the last read failed with; the libraries in between keep only its text.
    etag, size: of the whole file, once something has been read. bytes: received so far.
    """

    def __init__(
        self,
        store: "HTTPStore | S3Store",
        address: str,
        path: str,
        traffic: Traffic,
        received: Callable[[int], None],
    ) -> None:
        self._store, self._address, self._path = store, address, path
        self._traffic, self._received = traffic, received
        self.error: StoreError | BadImageError | None = None
        self.etag: str | None = None
        self.size = self.bytes = 0

    async def get_range_async(
        self, path: str = "", *, start: int, end: int | None = None, length: int | None = None
    ) -> bytes:
        """The bytes from `start` to `end` or to the end of the file. Raises StoreError and BadImageError."""
        stop = end if end is not None else start + (length or 0)
        options: dict[str, Any] = {"range": (start, stop)}
        if self.etag:
            options["if_match"] = self.etag
        self._traffic.sent("GET")
        try:
            answer = await self._store.get_async(self._path, options=options)  # type: ignore[arg-type]
            content = bytes(await answer.bytes_async())
        except Exception as error:  # obstore has a class for each status, and others for connections
            self.error = self._error_of(error)
            raise self.error from error
        self.etag = self.etag or answer.meta["e_tag"]
        self.size = answer.meta["size"]
        self.bytes += len(content)
        self._traffic.came(len(content))
        self._received(len(content))
        if len(content) < min(stop, self.size) - start or self.size <= start:
            self.error = BadImageError(
                f"it ends after {self.size} bytes, before all that its header announces"
            )
            raise self.error
        return content

    async def get_ranges_async(
        self,
        path: str = "",
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> list[bytes]:
        """Several ranges; what lies close together is read at once. Raises StoreError and BadImageError."""
        if ends is None:
            ends = [start + length for start, length in zip(starts, lengths or (), strict=True)]
        spans = list(_merged(sorted(zip(starts, ends, strict=True))))
        contents = await asyncio.gather(*[self.get_range_async(start=a, end=b) for a, b in spans])
        found = []
        for start, end in zip(starts, ends, strict=True):
            at = next(i for i, (a, b) in enumerate(spans) if a <= start and end <= b)
            piece = contents[at][start - spans[at][0] : end - spans[at][0]]
            if len(piece) < end - start:
                self.error = BadImageError(f"it ends after {self.size} bytes, before all of its pixels")
                raise self.error
            found.append(piece)
        return found

    def _error_of(self, error: Exception) -> StoreError | BadImageError:
        """The sentence for an error; the server's own text is not repeated."""
        from obstore import exceptions as obs

        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 0
        answered = f"{self._address}: the server answered {status}" if status else self._address
        known: list[tuple[tuple[type[Exception], ...], type[StoreError], str]] = [
            (
                (obs.PermissionDeniedError, obs.UnauthenticatedError),
                DeniedError,
                "give credentials (AWS_PROFILE or --profile NAME), and --requester-pays if the bucket bills "
                "its readers; or try --unsigned if it is public",
            ),
            ((obs.NotFoundError, FileNotFoundError), NotFoundError, "it may be on its way; run again later"),
            ((obs.PreconditionError,), ChangedError, "it was replaced meanwhile; run the command again"),
            (
                (obs.NotSupportedError,),
                StoreError,
                "its server sends whole files only, and no ranges of them",
            ),
        ]
        for classes, kind, advice in known:
            if isinstance(error, classes):
                return kind(f"{answered}: {advice}")
        if status == 416:
            return BadImageError("it is empty, or ends before all that its header announces")
        if status and status < 500 and status not in {408, 429}:
            return StoreError(f"{answered}: check --endpoint-url and the options")
        retried = "at every attempt; run the command again, with fewer --threads"
        return TransientError(
            f"{answered} {retried}"
            if status
            else f"{answered}: no answer; check the network, and run the command again"
        )


def _merged(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, those with small gaps between them joined up to MOST bytes."""
    begin, end = spans[0]
    for start, stop in spans[1:]:
        if start - end <= GAP and stop - begin <= MOST:
            end = max(end, stop)
        else:
            yield begin, end
            begin, end = start, stop
    yield begin, end
