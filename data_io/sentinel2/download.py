"""Download one object to a file: resume where it was cut off, and check it against its ETag."""

import hashlib
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_io.sentinel2.failures import ChangedError, CutShortError, PastEndError
from data_io.sentinel2.s3 import Store, StoredObject

ATTEMPTS = 3
"""How often an object is downloaded that was replaced meanwhile, or whose checksum is wrong."""

CHUNK = 1 << 20
PARTS = tuple(m << 20 for m in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128))
"""Sizes of the parts in which uploaders commonly send objects; the ETag of such an upload depends on them."""


class CorruptError(Exception):
    """The object in the bucket is not a sound image; the message is the reason."""


class StoppedError(Exception):
    """The fetch was told to stop; what it has received stays for the next one."""


@dataclass(frozen=True)
class Download:
    """A complete object in the file `path`. checked: the checksum that verified it, or only its "length"."""

    path: Path
    etag: str
    bytes: int
    sha256: str
    checked: str


def download(
    store: Store,
    item: StoredObject,
    folder: Path,
    name: str,
    stop: threading.Event,
    received: Callable[[int], None] = lambda count: None,
) -> Download:
    """Download an object to a file in `folder` that is named after `name` and the ETag.

    A file that an earlier call left there is continued if the object is still the same; an object that has
    been replaced meanwhile is downloaded from the start. When this raises StoreError, StoppedError or
    OSError, the file stays, for the next call to continue.

    Raises CorruptError if the object is empty, or its checksum is wrong at every attempt.
    """
    for attempt in range(ATTEMPTS):
        if attempt and stop.wait(0.1 * 2**attempt * random.random()):
            raise StoppedError
        last = attempt + 1 == ATTEMPTS
        partial = partial_path(folder, name, item.etag)
        if item.size == 0:
            raise CorruptError("the object has zero bytes")
        try:
            _receive(store, item, partial, stop, received)
        except CutShortError:  # the server ignores ranges, so that obstore could not continue
            if last:
                raise
            continue
        except (ChangedError, PastEndError):
            if last:
                raise
            partial.unlink(missing_ok=True)
            item = store.head(item.key)
            continue
        size = partial.stat().st_size
        sha256, checked = _checksums(partial, item.etag)
        if size == item.size and checked:
            return Download(partial, item.etag, size, sha256, checked)
        what = _error_document(partial)
        partial.unlink()
        if last:
            raise CorruptError(what or f"its {size} bytes do not have the MD5 {item.etag} that S3 states")
    raise AssertionError


def _receive(
    store: Store,
    item: StoredObject,
    partial: Path,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    """Append to `partial` what is missing of the object."""
    for other in partial.parent.glob(f"{_escaped(partial.name.rpartition('+')[0])}+*.partial"):
        if other != partial:
            other.unlink(missing_ok=True)  # it belongs to an object that has been replaced
    have = partial.stat().st_size if partial.exists() else 0
    if have > item.size:
        partial.unlink()
        have = 0
    if have == item.size:
        return
    answer = store.get(item.key, {"offset": have} if have else None, item.etag)
    if answer.etag != item.etag:  # the server ignores If-Match
        raise ChangedError(
            f"s3://{store.bucket}/{item.key}: it was replaced meanwhile; run the command again"
        )
    with partial.open("r+b" if have else "wb") as file:
        file.seek(answer.start)  # 0 if the server ignored the range
        file.truncate()
        left = item.size - answer.start
        for chunk in answer.body:
            file.write(chunk[: max(left, 0) + 1])  # one byte too many is enough to know that it is wrong
            left -= len(chunk)
            received(len(chunk))
            if left < 0:
                break
            if stop.is_set():
                raise StoppedError


def _checksums(path: Path, etag: str) -> tuple[str, str]:
    """SHA-256 in hex, and what matches the ETag: "md5", "multipart md5", only "length", or "" for none."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    if re.fullmatch("[0-9a-fA-F]{32}", etag):
        return sha256.hexdigest(), "md5" if md5.hexdigest() == etag.lower() else ""
    size = path.stat().st_size
    _, _, count = etag.rpartition("-")
    if re.fullmatch(r"[0-9a-fA-F]{32}-\d{1,5}", etag):
        fitting = (part for part in (*PARTS, size) if -(-size // part) == int(count))
        if any(_multipart(path, part) == etag.lower() for part in fitting):
            return sha256.hexdigest(), "multipart md5"
    return sha256.hexdigest(), "length"  # the parts have an uncommon size, or the ETag is not an MD5


def _multipart(path: Path, part: int) -> str:
    """The ETag of a file uploaded in parts of `part` bytes: the MD5 of their MD5s, and how many there are."""
    whole, count = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while first := file.read(min(part, CHUNK)):
            md5, left = hashlib.md5(first, usedforsecurity=False), part - len(first)
            while left and (chunk := file.read(min(left, CHUNK))):
                md5.update(chunk)
                left -= len(chunk)
            whole.update(md5.digest())
            count += 1
    return f"{whole.hexdigest()}-{count}"


def _error_document(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    return "S3 sent an error message in XML instead of the image" if b"<Error>" in head else ""


def partial_path(folder: Path, name: str, etag: str) -> Path:
    """The file for the part of an object that has arrived."""
    return folder / f"{name}+{re.sub(r'[^0-9A-Za-z-]', '_', etag)[:80]}.partial"


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
