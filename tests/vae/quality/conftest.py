"""Disjoint halves of the bundled scenes' tiles, and the damage that metrics claim to detect."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from data_io import DataConfig, TileSet, prepare

COUNT = 150


class Scenes(NamedTuple):
    real: Tensor
    other: Tensor
    """The tiles to damage: damaging the real half's own tiles would score below the floor."""
    train: Tensor
    """The tiles that are in neither half."""


@pytest.fixture(scope="session")
def tile_set(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    config = DataConfig(tile_size=64, validation_fraction=0.2, test_fraction=0.2)
    return prepare(config, tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="session")
def scenes(tile_set: TileSet) -> Scenes:
    """150, 150 and 164 tiles of 64 px."""
    tiles = _shuffled(tile_set.train)
    return Scenes(tiles[:COUNT], tiles[COUNT : 2 * COUNT], tiles[2 * COUNT :])


@pytest.fixture(scope="session")
def all_tiles(tile_set: TileSet) -> Tensor:
    """775 tiles of 64 px, of all three splits, in random order."""
    return _shuffled(torch.cat([tile_set.train, tile_set.validation, tile_set.test]))


def _shuffled(tiles: Tensor) -> Tensor:
    return tiles[torch.randperm(len(tiles), generator=torch.Generator().manual_seed(1))]


def _to_tiles(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _blur(tiles: Tensor, factor: int) -> Tensor:
    small = F.avg_pool2d(tiles.float(), factor)
    return _to_tiles(F.interpolate(small, scale_factor=factor, mode="bilinear"))


def _noise(tiles: Tensor, std: int) -> Tensor:
    return _to_tiles(tiles + std * torch.randn(tiles.shape, generator=torch.Generator().manual_seed(2)))


def _shift(tiles: Tensor, levels: int) -> Tensor:
    return _to_tiles(tiles.float() + levels)


@pytest.fixture(scope="session")
def damage() -> Callable[[Tensor, str, int], Tensor]:
    """damage(tiles, kind, amount): blur by a factor, noise of a standard deviation, shift by grey levels."""
    kinds = {"blur": _blur, "noise": _noise, "shift": _shift}
    return lambda tiles, kind, amount: kinds[kind](tiles, amount)
