"""The content hash: what names a set of tiles, whatever path its images lie under."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from data_io.errors import DataError
from data_io.tiles.sources import SourceImage

FORMAT = 1
"""Raise it when the same images and settings would give other tiles, splits or files."""

INDEX = "digests.json"


def content_hash(settings: Mapping[str, object], digests: Mapping[str, str]) -> str:
    """SHA-256, in hex, of the format, the settings, and each image's name and digest."""
    content = {"format": FORMAT, "settings": settings, "images": digests}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_digests(images: Sequence[SourceImage], cache_dir: Path) -> dict[str, str]:
    """SHA-256, in hex, of each image file by name.

    Files whose inode, size and times are those of the last call are not read again: an index in `cache_dir`
    remembers them. It is only a short cut: it may be missing, broken or not writable.
    """
    index = _read_index(cache_dir / INDEX)
    known = dict(index)
    digests = {}
    for image in images:
        try:
            path = image.path.resolve()
            stat = path.stat()
            stamp = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
            old = known.get(str(path), {})
            digest = old["sha256"] if old.get("stamp") == stamp else _sha256(path)
        except OSError as error:
            raise DataError(
                f"{image.path} cannot be read ({error.strerror}): check its permissions"
            ) from error
        digests[image.name] = digest
        # A file written a moment ago may be written again within one tick of the file system's clock.
        if time.time_ns() - stat.st_ctime_ns > 2_000_000_000:
            known[str(path)] = {"stamp": stamp, "sha256": digest}
    if known != index:
        _write_index(cache_dir / INDEX, known)
    return digests


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_index(path: Path) -> dict[str, dict[str, str]]:
    try:
        index = json.loads(path.read_bytes())
        return {file: {"stamp": entry["stamp"], "sha256": entry["sha256"]} for file, entry in index.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_index(path: Path, index: Mapping[str, Mapping[str, str]]) -> None:
    # Two writers at once: the last one wins, and the next call adds what the other knew.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(index))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
