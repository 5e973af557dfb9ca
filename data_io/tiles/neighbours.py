"""Which tiles are neighbours: they look alike, so they say less than as many tiles from far apart."""

import numpy as np
import torch
from torch import Tensor

from data_io.tiles.ground import ground_of
from data_io.tiles.tileset import TileSet

SIDE = 3
"""Tiles along a side of a neighbourhood: nine to a neighbourhood, four neighbourhoods to a usual block."""


def neighbourhoods(tiles: TileSet, split: str) -> Tensor:
    """(n,) int64, from 0: the neighbourhood of every tile of a split ("train", "validation", "test").

    A square of 3 x 3 tiles of one place, in all images (dates) of that place; of patches with a row and a
    column in their names, 3 x 3 patches. Images of places of their own share none.
    """
    side = SIDE * tiles.config.tile_stride
    patches = []
    places: dict[str, int] = {}
    for scene in tiles.scenes:
        ground = ground_of(scene.name)
        row, column = (-1 if at is None else at // SIDE for at in (ground.row, ground.column))
        patches.append((places.setdefault(scene.place, len(places)), row, column))
    origins = tiles.origins[split]
    if len(origins) == 0:
        return torch.zeros(0, dtype=torch.int64)
    keys = np.hstack([np.array(patches)[origins[:, 0]], origins[:, 1:] // side])
    _, numbers = np.unique(keys, axis=0, return_inverse=True)
    return torch.from_numpy(numbers.reshape(-1).astype(np.int64))
