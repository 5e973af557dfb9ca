"""The summary says what was cut, and the bundled scenes give the tiles that they should."""

import json

import pytest
import torch

from data_io import DataConfig, TileSet, prepare
from data_io.tiles.splits import SPLITS


def test_the_bundled_scenes_give_the_known_number_of_tiles(sample_tiles: TileSet) -> None:
    # 900 + 288 whole tiles fit without gaps, 563 + 285 of them with features; the gaps cost some of these.
    kept = sum(len(getattr(sample_tiles, split)) for split in SPLITS)
    assert 700 <= kept <= 848
    assert sum(scene.nodata for scene in sample_tiles.scenes) == 0


def test_tiles_are_uint8_images_with_features_and_no_nodata(sample_tiles: TileSet) -> None:
    for split in SPLITS:
        tiles = getattr(sample_tiles, split)
        assert tiles.dtype == torch.uint8
        assert tiles.shape[1:] == (3, 64, 64)
        assert tiles.any(dim=1).all()
        assert tiles.double().mean(dim=1).flatten(1).std(dim=1, correction=0).min() >= 6


def test_every_tile_laid_over_a_scene_is_accounted_for(sample_tiles: TileSet) -> None:
    for index, scene in enumerate(sample_tiles.scenes):
        assert scene.cut == scene.nodata + scene.featureless + scene.train + scene.validation + scene.test
        for split in SPLITS:
            assert int((sample_tiles.origins[split][:, 0] == index).sum()) == getattr(scene, split)


def test_the_summary_is_json_and_adds_up(sample_tiles: TileSet) -> None:
    summary = json.loads(json.dumps(sample_tiles.summary()))
    assert summary["tiles"]["total"] == sum(summary["tiles"][split] for split in SPLITS)
    assert summary["tiles"]["train"] == len(sample_tiles.train)
    assert summary["rejected"]["featureless"] == sum(scene["featureless"] for scene in summary["scenes"])
    assert summary["hash"] == sample_tiles.content_hash
    assert "Contains modified Copernicus Sentinel data" in summary["credit"]


def test_images_of_the_user_need_no_credit(small: DataConfig, tmp_path: object) -> None:
    assert prepare(small, tmp_path).summary()["credit"] is None  # type: ignore[arg-type]


def test_a_tileset_cannot_be_changed(sample_tiles: TileSet) -> None:
    with pytest.raises(AttributeError):
        sample_tiles.train = sample_tiles.test  # type: ignore[misc]
