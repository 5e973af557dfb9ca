"""Open the tiles of a source, cutting them first unless an earlier call has."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.home import require_locks
from data_io.sources import LeftOut, SourceImage, find_images
from data_io.tiles.build import build
from data_io.tiles.digests import LAYOUT, Facts, content_hash, image_facts
from data_io.tiles.entry import CacheEntry, DamagedEntryError, open_entry
from data_io.tiles.ground import corners_of, own_splits, was_split_otherwise
from data_io.tiles.splits import SPLITS, refuses

if TYPE_CHECKING:
    from data_io.tiles.tileset import TileSet

log = logging.getLogger(__name__)

OUTSIDE = "outside the folders that name the splits"
COPY = "copies of images that another split's folder holds"

_said: set[str] = set()


def prepare(config: DataConfig, cache_dir: Path) -> "TileSet":
    """Cut the tiles of `config.source`, or find them in the cache, and load them as tensors.

    What was left out is logged as warnings, once in a process.

    Raises DataError as `find_or_cut` does, which does the same without torch.
    """
    from data_io.tiles.tileset import load

    entry = find_or_cut(config, cache_dir)
    for note in entry.notes():
        if note not in _said:
            log.warning("%s", note)
            _said.add(note)
    return load(entry)


def find_or_cut(config: DataConfig, cache_dir: Path) -> CacheEntry:
    """The tiles of `config.source`, from the cache in `cache_dir`, which is created when missing.

    An entry is named by the content hash and appears under that name complete or not at all, so that a
    process killed at any moment leaves nothing to repair. If several processes call this at once, one of them
    cuts and the others wait for it. An entry that is damaged later is cut again.

    Raises DataError for every mistake that the user can correct: no images, an unreadable image, one that
    cannot be shown without settings, one smaller than a tile, too few tiles, a cache that cannot be written.
    """
    listing = find_images(config)
    left_out = LeftOut(listing.left_out)
    unread: dict[str, str] = {}
    facts = image_facts(listing.images, cache_dir, unread if config.skip_bad else None)
    images = _without_copies([image for image in listing.images if image.name in facts], facts, left_out)
    digests = {image.name: facts[image.name].digest for image in images}
    by_place = corners_of({image.name: facts[image.name].origin for image in images})
    layout = bool(by_place) or was_split_otherwise(digests)
    key = content_hash(config.cut_settings(), digests, layout=layout)
    folder = cache_dir / f"tiles-{key[:16]}"

    def open_it() -> CacheEntry:
        entry = open_entry(folder, config, key)
        counts = {split: len(tiles) for split, tiles in entry.tiles.items()}
        own = own_splits(digests)
        if entry.record.layout < LAYOUT and not own and refuses(counts, config):
            raise DamagedEntryError("its splits are as far from the fractions as older versions allowed")
        return replace(entry, left_out=left_out, unread=unread, own=own)

    try:
        return open_it()
    except DamagedEntryError:
        pass
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        require_locks(cache_dir, "SWEEP_HOME or --cache")
        with FileLock(folder.with_suffix(".lock")):
            try:
                return open_it()  # another process has cut it meanwhile
            except DamagedEntryError:
                pass
            # Only the holder of the lock works here, so whatever lies here was left by a killed process.
            work = folder.with_suffix(".partial")
            _remove(work)
            work.mkdir()
            try:
                build(work, config, images, facts, key)
                _remove(folder)
                work.replace(folder)
            finally:
                _remove(work)
            return open_it()
    except OSError as error:
        raise DataError(
            f"the cache {cache_dir} cannot be written ({error.strerror or error}): make room or set its "
            "permissions, or name another folder"
        ) from error


def _without_copies(
    images: Sequence[SourceImage], facts: Mapping[str, Facts], left_out: LeftOut
) -> list[SourceImage]:
    """The images to split: where folders name the splits, none outside them and no copy in two."""
    own = own_splits(image.name for image in images)
    if not own:
        return list(images)
    holder: dict[str, str] = {}
    for split in reversed(SPLITS):  # what is in the test is trained on nowhere
        for name in (name for name, of in own.items() if of == split):
            holder.setdefault(facts[name].digest, split)
    kept = []
    for image in images:
        if image.name not in own:
            left_out[OUTSIDE, ""] += 1
        elif holder[facts[image.name].digest] != own[image.name]:
            left_out[COPY, ""] += 1
        else:
            kept.append(image)
    return kept


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
