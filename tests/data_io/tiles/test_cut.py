"""Blocks keep their distance, tiles stay in their block, and tiles that show nothing are dropped."""

import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_io import DataConfig
from data_io.images.raster import ArrayRaster
from data_io.tiles.cut import Block, block_grid, cut, grey_std, nodata_fraction, resize, tile_origins


def config(**settings: Any) -> DataConfig:
    return DataConfig(**({"tile_size": 16, "block_tiles": 2, "gap": 5} | settings))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 52), (53, 100), (69, 200), (36, 37)])
@pytest.mark.parametrize("gap", [0, 5])
def test_blocks_lie_in_the_image_and_gap_pixels_apart(height: int, width: int, gap: int) -> None:
    blocks = block_grid(height, width, config(gap=gap))
    for block in blocks:
        assert 16 <= block.height <= 32
        assert 16 <= block.width <= 32
        assert block.top + block.height <= height
        assert block.left + block.width <= width
    for one, other in itertools.combinations(blocks, 2):
        down = abs(one.top - other.top) - 32
        across = abs(one.left - other.left) - 32
        assert max(down, across) >= gap


def test_a_short_block_at_the_edge_counts_when_a_tile_fits() -> None:
    period = 32 + 5
    assert len(block_grid(16, period + 15, config())) == 1
    assert len(block_grid(16, period + 16, config())) == 2
    assert block_grid(16, period + 20, config())[1] == Block(0, 1, 0, period, 16, 20)


@pytest.mark.parametrize("stride", [1, 3, 7, 16, 20, 40])
def test_tiles_lie_wholly_in_their_block_and_on_the_stride(stride: int) -> None:
    block = Block(1, 2, top=37, left=74, height=32, width=29)
    origins = tile_origins(block, config(stride=stride))
    assert len(origins) == len(range(0, 17, stride)) * len(range(0, 14, stride))
    for y, x in origins:
        assert (y - 37) % stride == (x - 74) % stride == 0
        assert 37 <= y <= 37 + 32 - 16
        assert 74 <= x <= 74 + 29 - 16


def test_tiles_are_the_pixels_at_their_origin() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (60, 90, 3), dtype=np.uint8)
    count = 0
    for part in cut(ArrayRaster(pixels), config(stride=8)):
        for tile, (y, x) in zip(part.tiles, part.origins, strict=True):
            np.testing.assert_array_equal(tile, pixels[y : y + 16, x : x + 16].transpose(2, 0, 1))
            count += 1
    assert count == sum(len(tile_origins(block, config(stride=8))) for block in block_grid(60, 90, config()))


def test_nodata_is_black_in_all_channels_and_dropped_above_the_share() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (16, 16, 3), dtype=np.uint8)
    pixels[:, :, 0] = 0  # a dark channel is data
    assert nodata_fraction(pixels) == 0
    pixels[0, :2] = 0
    assert nodata_fraction(pixels) == 2 / 256
    for share, dropped in ((1 / 256, 1), (2 / 256, 0), (0.0, 1)):
        (part,) = cut(ArrayRaster(pixels), config(max_nodata_fraction=share))
        assert (part.nodata, len(part.tiles)) == (dropped, 1 - dropped)


def test_featureless_is_a_grey_deviation_below_the_threshold() -> None:
    pixels = np.full((16, 16, 3), 100, np.uint8)
    pixels[:8] = 110
    assert grey_std(pixels) == 5
    for least, dropped in ((5.0, 0), (5.01, 1)):
        (part,) = cut(ArrayRaster(pixels), config(min_std=least))
        assert (part.featureless, len(part.tiles)) == (dropped, 1 - dropped)


def test_a_black_tile_counts_once_as_nodata() -> None:
    (part,) = cut(ArrayRaster(np.zeros((16, 16, 3), np.uint8)), config())
    assert (part.nodata, part.featureless, len(part.origins)) == (1, 0, 0)
    assert part.tiles.shape == (0, 3, 16, 16)


def test_resizing_takes_the_whole_image_and_does_not_alias() -> None:
    board = np.indices((160, 320)).sum(axis=0) % 2 * 255  # skipping pixels would give all black or all white
    pixels = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    small = resize(pixels, 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_resize_mode_gives_one_tile_an_image_and_counts_nodata_before_resizing() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (20, 30, 3), dtype=np.uint8)
    shrink = config(mode="resize", min_std=0)
    (part,) = cut(ArrayRaster(pixels), shrink)
    expected = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(part.tiles[0], expected.transpose(2, 0, 1))
    assert part.origins == [(0, 0)]
    pixels[::2, ::2] = 0  # no pixel of the small image is black
    (part,) = cut(ArrayRaster(pixels), shrink)
    assert (part.nodata, len(part.tiles)) == (1, 0)
