"""Sources larger than memory are cut; those that cannot be are refused with what to do about it."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_io import DataConfig, DataError, prepare
from data_io.tiles.splits import SPLITS


def entries(cache_dir: Path) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if path.is_dir())


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


def test_memory_does_not_grow_with_the_tiles_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_io.images.files.WHOLE_PIXELS", 0)
    noise = np.random.default_rng(0).integers(1, 256, (4096, 2048, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.tif")
    config = DataConfig(source=str(tmp_path / "large.tif"), tile_size=32, block_tiles=4, memory_share=0.0)
    prepare(config, tmp_path / "first")  # what is imported when first needed is not counted
    tracemalloc.start()
    try:
        prepare(config, tmp_path / "large")
        _, peak = tracemalloc.get_traced_memory()  # 3.9 MB, of which 3.4 for a quarter of the image, too
    finally:
        tracemalloc.stop()
    (train,) = (tmp_path / "large").glob("*/train.npy")
    assert peak < train.stat().st_size / 2
