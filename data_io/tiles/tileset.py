"""The tiles of a source as tensors, by split."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_io.config import DataConfig
from data_io.tiles.entry import CacheEntry, SceneRecord, summary
from data_io.tiles.splits import SPLITS


@dataclass(frozen=True, eq=False)
class TileSet:
    """Cut tiles; no pixel of ground is in two splits.

    train, validation, test: (n, 3, tile_size, tile_size) uint8 on the CPU, each with at least one tile. A
        split larger than `config.memory_share` of this machine's memory is memory-mapped.
    content_hash: SHA-256, in hex, of the images' names and bytes and of the settings that decide pixels and
        splits; the same on every machine.
    scenes: the images, with counts.
    origins: by split, (n, 3) int64: index into `scenes`, then y and x of each tile's top left pixel.
    notes: what a user should know: what was left out, one line a reason, and shares far from those asked for.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    content_hash: str
    config: DataConfig
    scenes: tuple[SceneRecord, ...]
    origins: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, object]:
        """What was cut, as JSON types: scenes, tiles by split, rejections by reason, hash, credit."""
        return summary(self.config, self.content_hash, self.scenes)


def load(entry: CacheEntry) -> TileSet:
    """Load the tiles of a cache entry as tensors."""
    limit = entry.config.memory_share * psutil.virtual_memory().total
    splits = {
        name: torch.from_numpy(tiles if tiles.nbytes > limit else np.array(tiles))
        for name, tiles in entry.tiles.items()
    }
    return TileSet(
        **splits,
        content_hash=entry.record.content_hash,
        config=entry.config,
        scenes=entry.record.scenes,
        origins={split: np.array(entry.record.origins[split], dtype=np.int64) for split in SPLITS},
        notes=tuple(entry.notes()),
    )
