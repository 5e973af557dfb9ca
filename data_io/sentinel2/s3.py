"""A bucket on S3: list, read and stream its objects, with one sentence for every failure."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from data_io.sentinel2.access import Access, open_bucket
from data_io.sentinel2.failures import CutShortError, WholeOnlyError, failure_of
from data_io.sentinel2.traffic import Traffic

if TYPE_CHECKING:
    from obstore import GetOptions, OffsetRange, SuffixRange

PAGE = 1000
"""Objects in one answer to a LIST."""

CHUNK = 1 << 18
"""Bytes in a piece of an answer."""


T = TypeVar("T")


@dataclass(frozen=True)
class StoredObject:
    """An object in the bucket: its key, its size in bytes, and its ETag without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Answer:
    """The answer to a GET.

    body: its pieces; continued by obstore where it breaks off. start: offset of its first byte in the object.
    total: size of the whole object in bytes.
    """

    body: Iterable[bytes]
    start: int
    total: int
    etag: str


class Store:
    """A bucket and a client for it, for all threads of one process."""

    def __init__(self, bucket: str, access: Access) -> None:
        self.bucket = bucket
        self.access = access
        self.traffic = Traffic()
        self._store, self.unsigned = open_bucket(bucket, access)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects in the folder `prefix`."""
        import obstore

        pages = self._listed(prefix, lambda: list(obstore.list(self._store, prefix, chunk_size=PAGE)))
        self.traffic.sent("LIST", len(pages[1:]))
        for page in pages:
            for item in page:
                yield StoredObject(item["path"], item["size"], _etag(item))

    def folders(self, prefix: str) -> list[str]:
        """The folders directly under `prefix`; it ends with a slash, and so does each of them."""
        import obstore

        found = self._listed(prefix, lambda: obstore.list_with_delimiter(self._store, prefix))
        return [f"{folder}/" for folder in found["common_prefixes"]]

    def head(self, key: str) -> StoredObject:
        """The size and ETag that an object has now."""
        import obstore

        self.traffic.sent("HEAD")
        with self._translated_errors(key):
            item = obstore.head(self._store, key)
        return StoredObject(key, item["size"], _etag(item))

    def read(
        self,
        key: str,
        range_: "tuple[int, int] | OffsetRange | SuffixRange | None" = None,
        limit: int = 4 << 20,
    ) -> tuple[bytes, Answer]:
        """Read a small object, or a range of it, at most about `limit` bytes."""
        answer = self.get(key, range_)
        content = b""
        for chunk in answer.body:
            content += chunk
            if len(content) >= limit:
                break
        return content, answer

    def get(
        self,
        key: str,
        range_: "tuple[int, int] | OffsetRange | SuffixRange | None" = None,
        etag: str = "",
    ) -> Answer:
        """Open an object, or a range of it, if it still has `etag`. Servers without ranges send it whole."""
        import obstore

        options: GetOptions = {"range": range_} if range_ else {}
        if etag:
            options["if_match"] = f'"{etag}"'
        self.traffic.sent("GET")
        try:
            with self._translated_errors(key):
                answer = obstore.get(self._store, key, options=options)
        except WholeOnlyError:
            return self.get(key, etag=etag)
        return Answer(self._pieces(key, answer), answer.range[0], answer.meta["size"], _etag(answer.meta))

    def _listed(self, prefix: str, call: Callable[[], T]) -> T:
        """A list, asked for again where it is cut short: obstore continues objects only."""
        for attempt in range(self.access.attempts):
            self.traffic.sent("LIST")
            try:
                with self._translated_errors(prefix):
                    return call()
            except CutShortError:
                if attempt + 1 == self.access.attempts:
                    raise
        raise AssertionError

    def _pieces(self, key: str, answer: Any) -> Iterator[bytes]:
        with self._translated_errors(key):
            for chunk in answer.stream(min_chunk_size=CHUNK):
                self.traffic.came(len(chunk))
                yield bytes(chunk)

    @contextmanager
    def _translated_errors(self, key: str) -> Iterator[None]:
        """Turn obstore's errors into StoreErrors."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            name, where = f"s3://{self.bucket}/{key}", self.access.endpoint_url or "S3"
            raise failure_of(name, error, self._advice(), where=where) from error

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


def _etag(item: Any) -> str:
    return (item["e_tag"] or "").strip('"')
