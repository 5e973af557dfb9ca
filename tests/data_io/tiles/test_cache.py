"""One entry a content, opened again without cutting, whole or not there at all."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_io import DataConfig, DataError, prepare
from data_io.tiles import cache
from data_io.tiles.splits import SPLITS


def entries(cache_dir: Path) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if path.is_dir())


def refuse_to_cut(*_: object) -> None:
    raise AssertionError("cut again")


def test_a_second_call_opens_the_same_tiles_without_cutting(
    small: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(small, tmp_path / "cache")
    monkeypatch.setattr(cache, "build", refuse_to_cut)
    second = prepare(small, tmp_path / "cache")
    assert second.summary() == first.summary()
    for split in SPLITS:
        assert torch.equal(getattr(second, split), getattr(first, split))
        np.testing.assert_array_equal(second.origins[split], first.origins[split])


def test_cutting_is_deterministic(small: DataConfig, tmp_path: Path) -> None:
    prepare(small, tmp_path / "a")
    prepare(small, tmp_path / "b")
    (one,), (other,) = entries(tmp_path / "a"), entries(tmp_path / "b")
    assert one.name == other.name
    assert sorted(path.name for path in one.iterdir()) == [
        "meta.json",
        "test.npy",
        "train.npy",
        "validation.npy",
    ]
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"tile_size": 24},
        {"stride": 8},
        {"block_tiles": 1},
        {"gap": 5},
        {"max_nodata_fraction": 0.5},
        {"min_std": 5.0},
        {"validation_fraction": 0.2},
        {"test_fraction": 0.2},
        {"split_seed": 1},
        {"mode": "tile", "tile_size": 16, "stride": 15},
    ],
)
def test_the_hash_changes_with_what_decides_pixels_and_splits(
    small: DataConfig, tmp_path: Path, change: dict[str, Any]
) -> None:
    changed = DataConfig.model_validate(small.model_dump() | change)
    assert prepare(changed, tmp_path).content_hash != prepare(small, tmp_path).content_hash


def test_the_hash_does_not_change_with_how_tiles_are_served(small: DataConfig, tmp_path: Path) -> None:
    first = prepare(small, tmp_path / "cache")
    shutil.copytree(small.source, tmp_path / "elsewhere")
    changes: list[dict[str, object]] = [
        {"flip": True},
        {"rotate": True},
        {"memory_share": 0.0},
        {"stride": 16},  # the default, spelled out
        {"source": str(tmp_path / "elsewhere")},
    ]
    for change in changes:
        changed = DataConfig.model_validate(small.model_dump() | change)
        again = prepare(changed, tmp_path / "cache")
        assert again.content_hash == first.content_hash
        assert again.config == changed
    assert len(entries(tmp_path / "cache")) == 1


def test_the_hash_changes_with_one_pixel_and_with_a_name(
    small: DataConfig, tmp_path: Path, write_image: Any
) -> None:
    hashes = {prepare(small, tmp_path / "cache").content_hash}
    write_image(Path(small.source) / "north.png", 104, 140, seed=3)
    hashes.add(prepare(small, tmp_path / "cache").content_hash)
    (Path(small.source) / "north.png").rename(Path(small.source) / "west.png")
    hashes.add(prepare(small, tmp_path / "cache").content_hash)
    assert len(hashes) == 3


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


def test_a_cache_that_cannot_be_written_is_one_sentence(small: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for where in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(DataError, match=r"the cache .*file.* cannot be written \(.*\): make room or"):
            prepare(small, where)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    small: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("data_io.tiles.build.os.fsync", full)
        with pytest.raises(DataError, match="No space left on device"):
            prepare(small, tmp_path / "cache")
    assert entries(tmp_path / "cache") == []
    assert len(prepare(small, tmp_path / "cache").train)


def test_a_refused_source_leaves_nothing_half_written(small: DataConfig, tmp_path: Path) -> None:
    south = Path(small.source) / "south.png"
    south.write_bytes(south.read_bytes()[:3000])  # the header is whole, so that it breaks in mid-cutting
    with pytest.raises(DataError, match=r"south\.png cannot be read"):
        prepare(small, tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


def test_an_image_smaller_than_a_tile_is_named_with_both_remedies(
    small: DataConfig, tmp_path: Path, write_image: Any
) -> None:
    write_image(Path(small.source) / "tiny.png", 15, 90)
    with pytest.raises(
        DataError, match=r"tiny\.png is 90 x 15 pixels, .* mode resize or a smaller tile_size"
    ):
        prepare(small, tmp_path / "cache")
    resize = small.model_copy(update={"mode": "resize", "min_std": 0.0})
    assert sum(len(getattr(prepare(resize, tmp_path / "cache"), split)) for split in SPLITS) == 3


def test_a_source_without_a_usable_tile_says_what_dropped_them(small: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no usable tile: of 96, 0 have more nodata .* and 96 are below min_std 200"
    ):
        prepare(small.model_copy(update={"min_std": 200.0}), tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


def test_two_images_in_resize_mode_are_too_few(small: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tiles in 2 images of different places, too few .* add images"):
        prepare(small.model_copy(update={"mode": "resize", "min_std": 0.0}), tmp_path / "cache")
