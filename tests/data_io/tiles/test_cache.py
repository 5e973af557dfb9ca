"""There is one entry per content; it is opened again without cutting, and is complete or absent."""

import shutil
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
