"""The tiles of a source by split, opened from a cache entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_io.config import DataConfig
from data_io.record import META, Record, SceneRecord
from data_io.sources import SAMPLE, SAMPLE_CREDIT
from data_io.splits import SPLITS


class DamagedEntryError(Exception):
    """A cache entry is missing, or not what its name and its meta.json promise."""


@dataclass(frozen=True, eq=False)
class TileSet:
    """Cut tiles; no pixel of the ground is in two splits.

    train, validation, test: (n, 3, tile_size, tile_size) uint8 on the CPU, each with at least one tile; in
        memory, or memory-mapped where larger than `config.memory_share` of it.
    content_hash: SHA-256, in hex, of the images' names and bytes and of the settings that decide pixels and
        splits; the same on every machine.
    scenes: the images, with counts.
    origins: by split, (n, 3) int64: index into `scenes`, y and x of each tile's top left pixel.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    content_hash: str
    config: DataConfig
    scenes: tuple[SceneRecord, ...]
    origins: Mapping[str, NDArray[np.int64]]

    def summary(self) -> dict[str, object]:
        """What was cut, as JSON types: scenes, tiles by split, rejections by reason, hash, credit."""
        by_split = {split: len(self.origins[split]) for split in SPLITS}
        return {
            "source": self.config.source,
            "mode": self.config.mode,
            "tile_size": self.config.tile_size,
            "hash": self.content_hash,
            "tiles": by_split | {"total": sum(by_split.values())},
            "rejected": {
                "nodata": sum(scene.nodata for scene in self.scenes),
                "featureless": sum(scene.featureless for scene in self.scenes),
            },
            "scenes": [scene.model_dump() for scene in self.scenes],
            "credit": SAMPLE_CREDIT if self.config.source == SAMPLE else None,
        }


def open_entry(entry: Path, config: DataConfig, content_hash: str) -> TileSet:
    """The TileSet of a cache entry. Raises DamagedEntryError when it is not there, or not whole."""
    try:
        record = Record.model_validate_json((entry / META).read_bytes())
        mapped = {split: _mapped(entry / f"{split}.npy") for split in SPLITS}
    except (OSError, EOFError, ValueError) as error:
        raise DamagedEntryError(str(error)) from error
    side = config.tile_size
    for split, tiles in mapped.items():
        promised = (len(record.origins.get(split, ())), 3, side, side)
        if record.content_hash != content_hash or tiles.dtype != np.uint8 or tiles.shape != promised:
            raise DamagedEntryError(f"{entry / split}.npy is not what {META} promises")
    limit = config.memory_share * psutil.virtual_memory().total
    splits = {name: torch.from_numpy(a if a.nbytes > limit else np.array(a)) for name, a in mapped.items()}
    return TileSet(
        **splits,
        content_hash=content_hash,
        config=config,
        scenes=record.scenes,
        origins={split: np.array(record.origins[split], dtype=np.int64) for split in SPLITS},
    )


def _mapped(path: Path) -> NDArray[np.uint8]:
    # Copy-on-write: torch wants a writable array, and nothing written to it may reach the cache.
    tiles = np.load(path, mmap_mode="c", allow_pickle=False)
    if path.stat().st_size != tiles.offset + tiles.nbytes:
        raise ValueError(f"{path} has the wrong size")
    return tiles  # type: ignore[no-any-return]
