"""Bring one object whole to a file: resumed where it was cut off, and checked against its ETag."""

import hashlib
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_io.sentinel2.s3 import (
    ChangedError,
    CutShortError,
    NotFoundError,
    PastEndError,
    Store,
    StoredObject,
    TransientError,
)

CHUNK = 1 << 20
PARTS = tuple(m << 20 for m in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128))
"""Sizes in which uploaders cut objects, for the ETags of such uploads."""


class CorruptError(Exception):
    """The bucket's object is not a sound image; the message is the reason."""


class StoppedError(Exception):
    """The run was told to stop; what was received stays for the next one."""


@dataclass(frozen=True)
class Download:
    """A whole object in `path`. checked: by which sum it was verified, or "length" alone."""

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
    """The object as a file of `folder`, named by `name` and the ETag.

    A file that an earlier call left there is continued on condition that the object is still the same; an
    object that was replaced meanwhile is fetched anew. What was received is kept when this raises StoreError,
    StoppedError or OSError, for the next call to go on from.

    Raises CorruptError where the object has no bytes, or where its sum is wrong each time.
    """
    refused = 0
    for attempt in range(store.access.attempts):
        if attempt and stop.wait(min(0.05 * 2**attempt, 10) * random.random()):
            raise StoppedError
        partial = partial_path(folder, name, item.etag)
        if item.size == 0:
            raise CorruptError("the object has zero bytes")
        last = attempt + 1 == store.access.attempts
        try:
            _receive(store, item, partial, stop, received)
        except (ChangedError, PastEndError, NotFoundError) as error:
            if last or isinstance(error, NotFoundError):
                raise
            partial.unlink(missing_ok=True)
            item = store.head(item.key)
            continue
        except TransientError as error:
            refused += not isinstance(error, CutShortError)
            whole = partial.exists() and partial.stat().st_size == item.size
            if not whole and (last or refused > 1):  # boto3 tried these too, unless much failed at once
                raise
            if not whole:
                continue
        size = partial.stat().st_size
        if size < item.size:
            if last:
                raise TransientError(
                    f"s3://{store.bucket}/{item.key}: {size} of {item.size} bytes came at the last of "
                    f"{attempt + 1} tries; run the command again to go on from there"
                )
            continue
        sha256, checked = _sums(partial, item.etag)
        if size == item.size and checked:
            return Download(partial, item.etag, size, sha256, checked)
        what = _what_instead(partial)
        partial.unlink()
        if last or attempt >= 2:
            raise CorruptError(what or f"its {size} bytes do not have the MD5 {item.etag} that S3 states")
    raise AssertionError


def _receive(
    store: Store,
    item: StoredObject,
    partial: Path,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    """Append what is missing to `partial`."""
    for other in partial.parent.glob(f"{_escaped(partial.name.rpartition('+')[0])}+*.partial"):
        if other != partial:
            other.unlink(missing_ok=True)  # of an object that was replaced
    have = partial.stat().st_size if partial.exists() else 0
    if have > item.size:
        partial.unlink()
        have = 0
    if have == item.size:
        return
    answer = store.get(item.key, f"{have}-" if have else "", item.etag)
    try:
        if answer.etag != item.etag:  # a server that does not know If-Match
            raise ChangedError(f"s3://{store.bucket}/{item.key}: it was replaced meanwhile; run again")
        with partial.open("r+b" if have else "wb") as file:
            file.seek(answer.start)  # 0 where the server ignored the range
            file.truncate()
            left = item.size - answer.start
            for chunk in store.chunks(item.key, answer):
                file.write(chunk[: max(left, 0) + 1])  # a longer body is wrong already
                left -= len(chunk)
                received(len(chunk))
                if left < 0:
                    break
                if stop.is_set():
                    raise StoppedError
    finally:
        answer.body.close()


def _sums(path: Path, etag: str) -> tuple[str, str]:
    """SHA-256 in hex, and what the ETag verified: "md5", "multipart md5", "length", or "" for a mismatch."""
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
    return sha256.hexdigest(), "length"  # the uploader's parts are unknown, or the ETag is no MD5


def _multipart(path: Path, part: int) -> str:
    """The ETag of a file uploaded in parts of `part` bytes: the MD5 of the parts' MD5s, and their number."""
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


def _what_instead(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    return "an error message in XML came instead of the image" if b"<Error>" in head else ""


def partial_path(folder: Path, name: str, etag: str) -> Path:
    """Where what has come of an object is kept."""
    return folder / f"{name}+{re.sub(r'[^0-9A-Za-z-]', '_', etag)[:80]}.partial"


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
