"""The content hash, which names a set of tiles wherever its images lie."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from data_io.errors import DataError
from data_io.sources import SourceImage

FORMAT = 1
"""Increase it when the same images and settings would give other tiles, splits or files."""

INDEX = "digests.json"


def content_hash(settings: Mapping[str, object], digests: Mapping[str, str]) -> str:
    """SHA-256, in hex, of the format, the settings, and each image's name and digest."""
    content = {"format": FORMAT, "settings": settings, "images": digests}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def image_digests(images: Sequence[SourceImage], cache_dir: Path) -> dict[str, str]:
    """The digest of each image, by name.

    An index in `cache_dir` remembers the digests of images whose files have kept their inode, size and times
    since the last call, so that these files are not read again. The index only saves time: it may be missing,
    broken or not writable.

    Raises DataError for an image that cannot be read.
    """
    index = _read_index(cache_dir / INDEX)
    known = dict(index)
    digests = {}
    for image in images:
        try:
            path = image.file.resolve()
            key = f"{path}#{image.part}" if image.part else str(path)
            stat = path.stat()
            stamp = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
            old = known.get(key, {})
            digest = old["sha256"] if old.get("stamp") == stamp else image.digest()
        except OSError as error:
            raise DataError(f"{image} cannot be read ({error.strerror}): check its permissions") from error
        digests[image.name] = digest
        # A file written a moment ago may be written again within one tick of the file system's clock.
        if time.time_ns() - stat.st_ctime_ns > 2_000_000_000:
            known[key] = {"stamp": stamp, "sha256": digest}
    if known != index:
        _write_index(cache_dir / INDEX, known)
    return digests


def _read_index(path: Path) -> dict[str, dict[str, str]]:
    try:
        index = json.loads(path.read_bytes())
        return {file: {"stamp": entry["stamp"], "sha256": entry["sha256"]} for file, entry in index.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_index(path: Path, index: Mapping[str, Mapping[str, str]]) -> None:
    # If two processes write at once the last one wins, and the next call adds what the other one knew.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(index))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
