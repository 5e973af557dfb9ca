"""An entry of the cache: the files that `build` writes, what its meta.json records, and how to open it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import find_source
from data_io.tiles.splits import SPLITS

META = "meta.json"


class DamagedEntryError(Exception):
    """A cache entry is missing, or its files do not match its name or its meta.json."""


class SceneRecord(BaseModel):
    """One image: its size in pixels, and what became of the tiles laid over it.

    `cut` counts all of them: nodata + featureless + train + validation + test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    place: str
    height: int
    width: int
    blocks: int
    cut: int
    nodata: int
    featureless: int
    train: int
    validation: int
    test: int


class Record(BaseModel):
    """The content of meta.json. `origins`: by split and in the tiles' order, (scene index, y, x)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content_hash: str
    tile_size: int
    scenes: tuple[SceneRecord, ...]
    origins: dict[str, list[tuple[int, int, int]]]


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Cut tiles on disk; only the pages that are read take up memory.

    tiles: by split, memory-mapped (n, 3, tile_size, tile_size) uint8; writing to them does not change the
        files.
    """

    config: DataConfig
    record: Record
    tiles: Mapping[str, NDArray[np.uint8]]

    def summary(self) -> dict[str, object]:
        """See `summary`."""
        return summary(self.config, self.record.content_hash, self.record.scenes)


def open_entry(entry: Path, config: DataConfig, content_hash: str) -> CacheEntry:
    """The entry in a folder. Raises DamagedEntryError when it is missing or damaged."""
    try:
        record = Record.model_validate_json((entry / META).read_bytes())
        tiles = {split: _map(entry / f"{split}.npy") for split in SPLITS}
    except (OSError, EOFError, ValueError) as error:
        raise DamagedEntryError(str(error)) from error
    side = config.tile_size
    for split, mapped in tiles.items():
        promised = (len(record.origins.get(split, ())), 3, side, side)
        if record.content_hash != content_hash or mapped.dtype != np.uint8 or mapped.shape != promised:
            raise DamagedEntryError(f"{entry / split}.npy does not match {META}")
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
        "credit": _credit(config.source),
    }


def _credit(source: str) -> str | None:
    try:
        return find_source(source).credit
    except DataError:
        return None  # the images have gone since the tiles were cut


def _map(path: Path) -> NDArray[np.uint8]:
    # Copy-on-write: torch wants a writable array, and nothing written to it may reach the cache.
    tiles = np.load(path, mmap_mode="c", allow_pickle=False)
    if path.stat().st_size != tiles.offset + tiles.nbytes:
        raise ValueError(f"{path} has the wrong size")
    return tiles  # type: ignore[no-any-return]
