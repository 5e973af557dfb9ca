"""One stretch for all images: its percentiles are those of all their pixels, and lie with the tiles."""

from pathlib import Path

import numpy as np
import pytest

from data_io import DataConfig, DataError
from data_io.tiles import stretch
from data_io.tiles.cache import find_or_cut
from data_io.tiles.splits import SPLITS
from tests.data_io.pictures import geotiff, half, picture


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Six images of five bands, each brighter than the one before, half of each without data."""
    for number in range(6):
        values = picture(number, 64, 128, bands=5, top=1000, dtype=np.uint16) + number * 500
        geotiff(tmp_path / "deep" / f"{number}.tif", values * half(64, 128)[:, :, None], nodata=0)
    return tmp_path / "deep"


def config(source: Path, **settings: object) -> DataConfig:
    return DataConfig(source=str(source), bands="4,3,2", tile_size=32, block_tiles=2, **settings)  # type: ignore[arg-type]


def test_percentiles_are_those_of_all_pixels_with_data(deep: Path, tmp_path: Path) -> None:
    entry = find_or_cut(config(deep, stretch="2,98"), tmp_path / "cache")
    pixels = np.concatenate(
        [
            (picture(n, 64, 128, bands=5, top=1000, dtype=np.uint16) + n * 500)[:, 64:].reshape(-1, 5)
            for n in range(6)
        ]
    )
    expected = np.percentile(pixels[:, [3, 2, 1]], [2, 98], axis=0).T
    np.testing.assert_allclose(np.array(entry.record.stretch), expected)
    assert entry.summary()["stretch"] == entry.record.stretch
    stored = find_or_cut(config(deep, stretch="2,98"), tmp_path / "cache")
    assert stored.record == entry.record


def test_a_sample_of_many_pixels_comes_near(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find_or_cut(config(deep, stretch="2,98"), tmp_path / "a").record.stretch
    monkeypatch.setattr(stretch, "SAMPLE", 300)
    sampled = find_or_cut(config(deep, stretch="2,98"), tmp_path / "b").record.stretch
    assert whole != sampled
    np.testing.assert_allclose(np.array(sampled), np.array(whole), atol=150)


def test_brighter_images_stay_brighter(deep: Path, tmp_path: Path) -> None:
    entry = find_or_cut(config(deep, stretch="0,100", min_std=0), tmp_path / "cache")
    means: dict[int, list[float]] = {}
    for split in SPLITS:
        for tile, (scene, _, _) in zip(entry.tiles[split], entry.record.origins[split], strict=True):
            means.setdefault(scene, []).append(float(tile.mean()))
    brightness = [np.mean(means[scene]) for scene in sorted(means)]
    assert len(brightness) == 6
    assert brightness == sorted(brightness)


def test_the_hash_follows_bands_and_stretch(deep: Path, tmp_path: Path) -> None:
    settings = [
        config(deep, stretch="2,98"),
        config(deep, stretch="1,99"),
        config(deep, stretch="0,3000"),
        config(deep, stretch="2,98").model_copy(update={"bands": "3,4,2"}),
    ]
    hashes = {find_or_cut(setting, tmp_path / "cache").record.content_hash for setting in settings}
    assert len(hashes) == 4


def test_no_contrast_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        geotiff(tmp_path / "flat" / f"{number}.tif", np.full((64, 64, 1), 700, np.uint16))
    flat = DataConfig(source=str(tmp_path / "flat"), stretch="2,98")
    with pytest.raises(
        DataError, match=r"has no contrast between its percentiles 2 and 98: give data.stretch"
    ):
        find_or_cut(flat, tmp_path / "cache")
