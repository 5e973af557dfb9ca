"""Lay blocks and tiles over one image, cut them, and drop the tiles that show nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_io.config import DataConfig
from data_io.images.raster import Raster


@dataclass(frozen=True)
class Block:
    """A rectangle of an image, in pixels, all of whose tiles go to the same split."""

    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class BlockTiles:
    """The kept tiles of one block, and how many were dropped.

    tiles: (n, 3, tile_size, tile_size) uint8. origins: n pairs (y, x), the top left pixel in the image.
    """

    row: int
    column: int
    tiles: NDArray[np.uint8]
    origins: list[tuple[int, int]]
    nodata: int
    featureless: int


def cut(image: Raster, config: DataConfig, corner: tuple[int, int] | None = None) -> Iterator[BlockTiles]:
    """The tiles of an image, block by block; at most one row of blocks is in memory at a time.

    corner: (y, x) in pixels of a patch in its place, over which the blocks are laid; None for a whole image.
    In resize mode the whole image is one block with at most one tile, whose origin is (0, 0); a patch belongs
    to the block that holds it, and is left out where none holds all of it.
    """
    if config.mode == "resize":
        place = (0, 0) if corner is None else block_holding(corner, image.height, image.width, config)
        if place is None:
            return
        pixels = image.rows(0, image.height)
        nodata = nodata_fraction(pixels) > config.max_nodata_fraction
        yield _keep(*place, [((0, 0), resize(pixels, config.tile_size), nodata)], config)
        return
    size = config.tile_size
    grid = block_grid(image.height, image.width, config, corner or (0, 0))
    for top, blocks in groupby(grid, key=lambda block: block.top):
        row = list(blocks)
        strip = image.rows(top, top + row[0].height)
        for block in row:
            candidates = []
            for y, x in tile_origins(block, config):
                tile = strip[y - top : y - top + size, x : x + size]
                candidates.append(((y, x), tile, nodata_fraction(tile) > config.max_nodata_fraction))
            yield _keep(block.row, block.column, candidates, config)


def block_grid(height: int, width: int, config: DataConfig, corner: tuple[int, int] = (0, 0)) -> list[Block]:
    """Blocks of `block_tiles` x `block_tiles` tiles, `gap` pixels apart, from the top left of the place.

    corner: (y, x) of the image in its place. A block that an edge cuts short is included when at least one
    tile fits into it; its pixels are counted in the image.
    """
    rows, columns = (
        _spans(start, length, config) for start, length in zip(corner, (height, width), strict=True)
    )
    return [
        Block(row, column, top, left, block_height, block_width)
        for row, top, block_height in rows
        for column, left, block_width in columns
    ]


def block_holding(
    corner: tuple[int, int], height: int, width: int, config: DataConfig
) -> tuple[int, int] | None:
    """(row, column) of the block of `block_tiles` x `block_tiles` patches that holds all of a patch."""
    found = []
    for start, length in zip(corner, (height, width), strict=True):
        side = config.block_tiles * length
        number, within = divmod(start, side + config.gap)
        if within + length > side:
            return None
        found.append(number)
    return found[0], found[1]


def tile_origins(block: Block, config: DataConfig) -> list[tuple[int, int]]:
    """(y, x) of each tile of a block; every tile lies wholly inside it."""
    size, stride = config.tile_size, config.tile_stride
    ys = range(block.top, block.top + block.height - size + 1, stride)
    xs = range(block.left, block.left + block.width - size + 1, stride)
    return [(y, x) for y in ys for x in xs]


def nodata_fraction(pixels: NDArray[np.uint8]) -> float:
    """Share of (0, 0, 0) pixels in an image of (height, width, 3)."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    return 1 - float(np.count_nonzero(red | green | blue) / red.size)


def grey_std(pixels: NDArray[np.uint8]) -> float:
    """Standard deviation of the grey levels, the mean of the channels, of an image of (height, width, 3)."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    # Sums of bytes are exact in 16 bits, and several times faster than `mean(axis=2)`.
    return float((np.add(red, green, dtype=np.uint16) + blue).std()) / 3


def resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole image as (size, size, 3), antialiased; an image that is not square is distorted."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


def _spans(start: int, length: int, config: DataConfig) -> list[tuple[int, int, int]]:
    """(number, first pixel in the image, pixels) of the blocks along one side of an image."""
    side = config.block_tiles * config.tile_size
    period = side + config.gap
    spans = []
    for number in range(start // period, (start + length) // period + 1):
        first = max(number * period - start, 0)
        last = min(number * period + side - start, length)
        if last - first >= config.tile_size:
            spans.append((number, first, last - first))
    return spans


def _keep(
    row: int,
    column: int,
    candidates: list[tuple[tuple[int, int], NDArray[np.uint8], bool]],
    config: DataConfig,
) -> BlockTiles:
    filled = [(origin, tile) for origin, tile, nodata in candidates if not nodata]
    kept = [(origin, tile) for origin, tile in filled if grey_std(tile) >= config.min_std]
    size = config.tile_size
    stack = np.stack([tile for _, tile in kept]) if kept else np.empty((0, size, size, 3), np.uint8)
    return BlockTiles(
        row=row,
        column=column,
        tiles=np.ascontiguousarray(stack.transpose(0, 3, 1, 2)),
        origins=[origin for origin, _ in kept],
        nodata=len(candidates) - len(filled),
        featureless=len(filled) - len(kept),
    )
