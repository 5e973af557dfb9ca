"""The content hash, which names a set of tiles wherever its images lie."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from data_io.errors import DataError
from data_io.images.header import Header
from data_io.reading import printable
from data_io.sources import SourceImage
from data_io.tiles.ground import Origin, is_in_square

FORMAT = 1
"""Increase it when the same images and settings would give other tiles, splits or files."""

INDEX = "digests.json"


LAYOUT = 2
"""Increase it when images are split in another way; see `content_hash`."""


@dataclass(frozen=True)
class Facts:
    """What is known of an image without reading its pixels again.

    digest: of its bytes, and of how they are read where that is not plain. header: None if it is broken.
    origin: as of `SourceImage.origin`, of an image whose name gives a Sentinel-2 square and no place in it;
        None for others.
    """

    digest: str
    header: Header | None
    origin: Origin | None = None


def content_hash(settings: Mapping[str, object], digests: Mapping[str, str], *, layout: bool = False) -> str:
    """SHA-256, in hex, of the format, the settings, and each image's name and digest.

    layout: whether format 1 split images of these names in another way.
    """
    content = {"format": FORMAT, "settings": settings, "images": digests}
    if layout:
        content["layout"] = LAYOUT
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def image_facts(
    images: Sequence[SourceImage], cache_dir: Path, bad: dict[str, str] | None = None
) -> dict[str, Facts]:
    """The digest and the header of each image, by name.

    An index in `cache_dir` remembers those of images whose files have kept their inode, size and times since
    the last call, so that these files are not read again. The index only saves time: it may be missing,
    broken or not writable.

    bad: takes the reasons why images cannot be read, by name. Without it, raises DataError for the first.
    """
    index = _read_index(cache_dir / INDEX)
    known = dict(index)
    found = {}
    for image in images:
        try:
            path = image.file.resolve()
            key = str(printable(f"{path}#{image.part}" if image.part else str(path)))
            stats = [file.stat() for file in image.files()]
            stamp = " ".join(f"{s.st_ino}-{s.st_size}-{s.st_mtime_ns}-{s.st_ctime_ns}" for s in stats)
            old = known.get(key, {})
            digest = old["sha256"] if old.get("stamp") == stamp else image.digest()
            header = _header(image, old.get("header") if old.get("stamp") == stamp else None)
            origin = _origin(image, old if old.get("stamp") == stamp else {})
        except (OSError, DataError) as error:
            reason = error if isinstance(error, DataError) else DataError(_unreadable(image, error))
            if bad is None:
                raise reason from error
            bad[image.name] = str(reason)
            continue
        read_so = f"{digest} {header.reading}" if header and header.reading else digest
        found[image.name] = Facts(read_so, header, origin)
        # A file written a moment ago may be written again within one tick of the file system's clock.
        if header and time.time_ns() - max(s.st_ctime_ns for s in stats) > 2_000_000_000:
            known[key] = {"stamp": stamp, "sha256": digest, "header": list(astuple(header))}
            if origin:
                known[key]["origin"] = list(origin)
    if known != index:
        _write_index(cache_dir / INDEX, known)
    return found


def _header(image: SourceImage, known: list[Any] | None) -> Header | None:
    if known:
        return Header(*known)
    try:
        return image.header()
    except DataError:
        return None  # whoever reads the pixels says why


def _origin(image: SourceImage, known: Mapping[str, Any]) -> Origin | None:
    if "header" in known:
        return tuple(known["origin"]) if "origin" in known else None
    return image.origin() if is_in_square(image.name) else None


def _unreadable(image: SourceImage, error: OSError) -> str:
    return f"{image} cannot be read ({error.strerror}): check its permissions"


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        index = json.loads(path.read_bytes())
        return {
            file: {"stamp": entry["stamp"], "sha256": entry["sha256"]}
            | {key: entry[key] for key in ("header", "origin") if entry.get(key)}
            for file, entry in index.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_index(path: Path, index: Mapping[str, Mapping[str, Any]]) -> None:
    # If two processes write at once the last one wins, and the next call adds what the other one knew.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(index))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
