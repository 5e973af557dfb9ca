"""A damaged entry is never opened, and opening one never changes it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data_io import DataConfig, prepare
from data_io.tiles.splits import SPLITS


def entries(cache_dir: Path) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if path.is_dir())


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("name", ["train.npy", "validation.npy", "test.npy", "meta.json"])
@pytest.mark.parametrize("damage", [Path.unlink, cut_short, grow, lambda path: path.write_bytes(b"")])
def test_a_damaged_entry_is_cut_again(
    small: DataConfig, tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    if name == "meta.json" and damage is grow:
        damage = lambda path: path.write_text(path.read_text().replace('"origins"', '"orígins"'))  # noqa: E731
    first = prepare(small, tmp_path / "cache")
    expected = first.train.clone()
    (entry,) = entries(tmp_path / "cache")
    intact = (entry / name).read_bytes()
    damage(entry / name)
    again = prepare(small, tmp_path / "cache")
    assert torch.equal(again.train, expected)
    assert (entry / name).read_bytes() == intact
    assert entries(tmp_path / "cache") == [entry]


def test_a_memory_mapped_split_holds_equal_tiles_and_writing_to_it_leaves_the_cache_alone(
    small: DataConfig, tmp_path: Path
) -> None:
    cache_dir = tmp_path / "cache"
    loaded = prepare(small, cache_dir)
    mapped = prepare(small.model_copy(update={"memory_share": 0.0}), cache_dir)
    for split in SPLITS:
        assert torch.equal(getattr(mapped, split), getattr(loaded, split))
    (entry,) = entries(cache_dir)
    maps = Path("/proc/self/maps").read_text()
    assert all(f"{entry / split}.npy" in maps for split in SPLITS)
    mapped.train.zero_()
    assert torch.equal(prepare(small, cache_dir).train, loaded.train)


def test_small_splits_are_in_memory(small: DataConfig, tmp_path: Path) -> None:
    tiles = prepare(small, tmp_path)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert tiles.train.dtype == torch.uint8
    assert tiles.train.is_contiguous()
