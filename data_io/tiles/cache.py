"""Open the tiles of a source, cutting them first unless an earlier call has."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import list_images
from data_io.tiles.build import build
from data_io.tiles.digests import content_hash, image_digests
from data_io.tiles.entry import CacheEntry, DamagedEntryError, open_entry

if TYPE_CHECKING:
    from data_io.tiles.tileset import TileSet


def prepare(config: DataConfig, cache_dir: Path) -> "TileSet":
    """Cut the tiles of `config.source`, or find them in the cache, and load them as tensors.

    Raises DataError as `find_or_cut` does, which does the same without torch.
    """
    from data_io.tiles.tileset import load

    return load(find_or_cut(config, cache_dir))


def find_or_cut(config: DataConfig, cache_dir: Path) -> CacheEntry:
    """The tiles of `config.source`, from the cache in `cache_dir`, which is created when missing.

    An entry is named by the content hash and appears under that name complete or not at all, so that a
    process killed at any moment leaves nothing to repair. If several processes call this at once, one of them
    cuts and the others wait for it. An entry that is damaged later is cut again.

    Raises DataError for every mistake that the user can correct: no images, an unreadable image, one with
    more than 8 bits a channel, one smaller than a tile, too few tiles, a cache that cannot be written.
    """
    images = list_images(config.source)
    digests = image_digests(images, cache_dir)
    key = content_hash(config.cut_settings(), digests)
    folder = cache_dir / f"tiles-{key[:16]}"
    try:
        return open_entry(folder, config, key)
    except DamagedEntryError:
        pass
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            try:
                return open_entry(folder, config, key)  # another process has cut it meanwhile
            except DamagedEntryError:
                pass
            # Only the holder of the lock works here, so whatever lies here was left by a killed process.
            work = folder.with_suffix(".partial")
            _remove(work)
            work.mkdir()
            try:
                build(work, config, images, digests, key)
                _remove(folder)
                work.replace(folder)
            finally:
                _remove(work)
            return open_entry(folder, config, key)
    except OSError as error:
        raise DataError(
            f"the cache {cache_dir} cannot be written ({error.strerror or error}): make room or set its "
            "permissions, or name another folder"
        ) from error


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
