"""An entry of the cache: the files that `build` wrote, found whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_io.config import DataConfig
from data_io.tiles.record import META, Record, SceneRecord
from data_io.tiles.sources import SAMPLE, SAMPLE_CREDIT
from data_io.tiles.splits import SPLITS


class DamagedEntryError(Exception):
    """A cache entry is missing, or not what its name and its meta.json promise."""


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Cut tiles on disk; no more than the pages that are read of them come into memory.

    tiles: by split, memory-mapped (n, 3, tile_size, tile_size) uint8; writing to them leaves the files alone.
    """

    config: DataConfig
    record: Record
    tiles: Mapping[str, NDArray[np.uint8]]

    def summary(self) -> dict[str, object]:
        """See `summary`."""
        return summary(self.config, self.record.content_hash, self.record.scenes)


def open_entry(entry: Path, config: DataConfig, content_hash: str) -> CacheEntry:
    """The entry in a folder. Raises DamagedEntryError when it is not there, or not whole."""
    try:
        record = Record.model_validate_json((entry / META).read_bytes())
        tiles = {split: _mapped(entry / f"{split}.npy") for split in SPLITS}
    except (OSError, EOFError, ValueError) as error:
        raise DamagedEntryError(str(error)) from error
    side = config.tile_size
    for split, mapped in tiles.items():
        promised = (len(record.origins.get(split, ())), 3, side, side)
        if record.content_hash != content_hash or mapped.dtype != np.uint8 or mapped.shape != promised:
            raise DamagedEntryError(f"{entry / split}.npy is not what {META} promises")
    return CacheEntry(config, record, tiles)


def summary(config: DataConfig, content_hash: str, scenes: Sequence[SceneRecord]) -> dict[str, object]:
    """What was cut, as JSON types: scenes, tiles by split, rejections by reason, hash, credit."""
    by_split = {split: sum(getattr(scene, split) for scene in scenes) for split in SPLITS}
    return {
        "source": config.source,
        "mode": config.mode,
        "tile_size": config.tile_size,
        "hash": content_hash,
        "tiles": by_split | {"total": sum(by_split.values())},
        "rejected": {
            "nodata": sum(scene.nodata for scene in scenes),
            "featureless": sum(scene.featureless for scene in scenes),
        },
        "scenes": [scene.model_dump() for scene in scenes],
        "credit": SAMPLE_CREDIT if config.source == SAMPLE else None,
    }


def _mapped(path: Path) -> NDArray[np.uint8]:
    # Copy-on-write: torch wants a writable array, and nothing written to it may reach the cache.
    tiles = np.load(path, mmap_mode="c", allow_pickle=False)
    if path.stat().st_size != tiles.offset + tiles.nbytes:
        raise ValueError(f"{path} has the wrong size")
    return tiles  # type: ignore[no-any-return]
