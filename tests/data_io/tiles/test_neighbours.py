"""Neighbourhoods: squares of ground, the same in all images of a place."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from data_io import DataConfig, TileSet, prepare
from data_io.tiles.entry import SceneRecord
from data_io.tiles.ground import ground_of
from data_io.tiles.neighbours import SIDE, neighbourhoods


def scene(name: str) -> SceneRecord:
    counts = dict.fromkeys(("blocks", "cut", "nodata", "featureless", "train", "validation", "test"), 0)
    return SceneRecord(name=name, place=ground_of(name).place, height=900, width=900, **counts)


def tiles_at(names: list[str], origins: list[tuple[int, int, int]]) -> TileSet:
    empty = torch.zeros(len(origins), 3, 64, 64, dtype=torch.uint8)
    return TileSet(
        train=empty,
        validation=empty,
        test=empty,
        content_hash="",
        config=DataConfig(),
        scenes=tuple(map(scene, names)),
        origins=dict.fromkeys(("train", "validation", "test"), np.array(origins).reshape(-1, 3)),
    )


@pytest.mark.parametrize("size", [32, 64])
def test_tiles_of_a_neighbourhood_are_near_and_there_are_at_most_nine(tmp_path: Path, size: int) -> None:
    tiles = prepare(DataConfig(tile_size=size), tmp_path)
    for split in ("train", "validation", "test"):
        groups, origins = neighbourhoods(tiles, split), tiles.origins[split]
        assert groups.shape == (len(origins),)
        assert groups.bincount().min() >= 1
        assert groups.bincount().max() <= SIDE**2
        for group in groups.unique():
            members = origins[(groups == group).numpy()]
            for one, other in combinations(members, 2):
                assert one[0] == other[0]
                assert np.abs(one - other).max() < SIDE * size


def test_two_dates_of_a_square_share_neighbourhoods_and_other_images_do_not() -> None:
    names = ["T33UUU_20240101.png", "T33UUU_20240701.png", "field.png", "forest.png"]
    groups = neighbourhoods(tiles_at(names, [(k, 10, 20) for k in range(4)]), "test")
    assert groups[0] == groups[1]
    assert len(groups.unique()) == 3


def test_patches_of_a_square_are_neighbours_by_row_and_column() -> None:
    names = [f"T33UUU_20240101_{row}_{column}.png" for row, column in ((0, 0), (2, 2), (0, 3), (3, 0))]
    groups = neighbourhoods(tiles_at(names, [(k, 0, 0) for k in range(4)]), "test")
    assert groups[0] == groups[1]
    assert len(groups.unique()) == 3


def test_no_tiles_have_no_neighbours() -> None:
    tiles = tiles_at(["a.png"], [(0, 0, 0)])
    tiles = replace(tiles, origins=dict(tiles.origins) | {"test": np.zeros((0, 3), dtype=np.int64)})
    assert neighbourhoods(tiles, "test").shape == (0,)
