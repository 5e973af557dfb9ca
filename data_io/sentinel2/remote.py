"""Byte ranges of objects behind HTTP and S3 addresses, counted, with one sentence for every failure."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from data_io.sentinel2.access import Access, client_settings, open_bucket
from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.failures import PastEndError, StoreError, failure_of
from data_io.sentinel2.traffic import Traffic

if TYPE_CHECKING:
    from obstore.store import HTTPStore, S3Store

CLOUD_REGION = "us-west-2"
"""Where the buckets of Earth Search are."""

GAP = 1 << 16
"""Ranges with at most so many bytes between them are read as one."""

MOST = 4 << 20
"""Largest range that is read in one request; more of them run side by side."""

DENIED = (
    "give credentials (AWS_PROFILE or --profile NAME), and --requester-pays if the bucket bills its readers; "
    "or try --unsigned if it is public"
)


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
                self._stores[root] = _client(root, parts.netloc, self._access)
            store = self._stores[root]
        return RemoteFile(store, address, unquote(parts.path.lstrip("/")), self._traffic, self._received)


def _client(root: str, host: str, access: Access) -> "HTTPStore | S3Store":
    from obstore.store import HTTPStore

    if root.startswith("s3:"):
        return open_bucket(host, access)[0]
    return HTTPStore(root, **client_settings(access))


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
        parts = urlsplit(self._address)
        found = failure_of(self._address, error, DENIED, "the server", parts.netloc)
        if isinstance(found, PastEndError):
            return BadImageError("it is empty, or ends before all that its header announces")
        return found


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
