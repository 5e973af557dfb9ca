"""Tiles go to a device once for all who use them there, while they take a part of its free memory at most."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from data_io import TileSet
from data_io.tiles.resident import SHARE, fits, resident, size_of
from data_io.tiles.splits import SPLITS

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
"""Tensors on the meta device have shapes and no values: all of a device but what it computes."""


def much(device: torch.device) -> int:
    return 1 << 40


def nothing(device: torch.device) -> int:
    raise AssertionError(f"the memory of {device} is not needed")


@pytest.fixture
def tiles(sample_tiles: TileSet) -> TileSet:
    """A tile set that no other test has put on a device."""
    return replace(sample_tiles)


def test_what_fits_is_a_share_of_what_is_free_and_of_what_the_tiles_themselves_hold() -> None:
    assert fits(25, 0, 100)
    assert not fits(26, 0, 100)
    # One copy of 20 has left 80 of 100.
    assert fits(5, 20, 80)
    assert not fits(6, 20, 80)
    assert not fits(1, 0, 0)


def test_on_a_cpu_nothing_is_copied(tiles: TileSet) -> None:
    assert resident(tiles, CPU, nothing) is tiles


def test_all_threads_share_one_copy(tiles: TileSet) -> None:
    with ThreadPoolExecutor(8) as pool:
        copies = list(pool.map(lambda _: resident(tiles, ELSEWHERE, much), range(32)))
    assert len({id(copy) for copy in copies}) == 1
    (copy,) = set(copies)
    assert copy is not None
    assert copy.content_hash == tiles.content_hash
    for split in SPLITS:
        there, here = getattr(copy, split), getattr(tiles, split)
        assert (there.device, there.dtype, there.shape) == (ELSEWHERE, torch.uint8, here.shape)
        assert here.device == CPU


def test_tiles_of_which_a_copy_does_not_fit_beside_the_others_stay_where_they_are(tiles: TileSet) -> None:
    free = int(1.5 * size_of(tiles) / SHARE)
    left = free - size_of(tiles)
    other = replace(tiles)
    assert resident(tiles, ELSEWHERE, lambda device: free) is not None
    assert resident(other, ELSEWHERE, lambda device: left) is None
    assert resident(tiles, ELSEWHERE, nothing) is not None
    del tiles


def test_a_copy_is_given_up_with_its_tiles(tiles: TileSet) -> None:
    free = int(1.5 * size_of(tiles) / SHARE)
    first, other = replace(tiles), replace(tiles)
    assert resident(first, ELSEWHERE, lambda device: free) is not None
    del first
    gc.collect()
    assert resident(other, ELSEWHERE, lambda device: free) is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_copy_on_a_gpu_is_the_same_tiles_and_complete(tiles: TileSet) -> None:
    copy = resident(tiles, torch.device("cuda"))
    assert copy is not None
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        for split in SPLITS:
            assert torch.equal(getattr(copy, split).cpu(), getattr(tiles, split))
    assert resident(tiles, torch.device("cuda:0")) is copy
