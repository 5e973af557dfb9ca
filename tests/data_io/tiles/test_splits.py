"""No two splits share ground, and their sizes are as close to the fractions as blocks allow."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from data_io import DataConfig, DataError, TileSet, prepare
from data_io.tiles.ground import ground_of
from data_io.tiles.splits import SPLITS, Unit, assign


def footprints(tiles: TileSet) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """By place and split, a mask of the pixels of ground that tiles of that split cover."""
    painted: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for scene in tiles.scenes:
        canvas = {split: np.zeros((scene.height, scene.width), bool) for split in SPLITS}
        painted.setdefault(scene.place, canvas)
    side = tiles.config.tile_size
    for split, origins in tiles.origins.items():
        for scene, y, x in origins:
            painted[tiles.scenes[scene].place][split][y : y + side, x : x + side] = True
    return painted


def assert_apart(tiles: TileSet, gap: int) -> None:
    for place, masks in footprints(tiles).items():
        for split in SPLITS:
            near = maximum_filter(masks[split], size=2 * gap + 1)  # the footprint, widened by `gap` pixels
            for other in SPLITS:
                if other != split:
                    assert not (near & masks[other]).any(), f"{split} and {other} touch in {place}"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 24},
        {"stride": 24, "gap": 0},
        {"stride": 96, "gap": 40, "split_seed": 3},
        {"tile_size": 224, "block_tiles": 2},
        {"tile_size": 48, "block_tiles": 3, "stride": 20, "gap": 7, "min_std": 0.0},
    ],
)
def test_no_two_splits_of_the_bundled_scenes_share_a_pixel_or_come_nearer_than_the_gap(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = DataConfig(**settings)
    tiles = prepare(config, tmp_path)
    assert_apart(tiles, config.gap)
    assert all(len(tiles.origins[split]) for split in SPLITS)


@pytest.mark.parametrize("tile_size", [64, 224])
def test_each_tile_is_the_ground_at_its_origin(tmp_path: Path, tile_size: int) -> None:
    from data_io.images.files import decode
    from data_io.sources.sample import SAMPLE_FOLDER

    tiles = prepare(DataConfig(tile_size=tile_size, block_tiles=2), tmp_path)
    scenes = [decode(SAMPLE_FOLDER / scene.name) for scene in tiles.scenes]
    for split in SPLITS:
        for tile, (scene, y, x) in zip(getattr(tiles, split), tiles.origins[split], strict=True):
            ground = scenes[scene][y : y + tile_size, x : x + tile_size].transpose(2, 0, 1)
            np.testing.assert_array_equal(tile.numpy(), ground)


def test_every_bundled_scene_contributes_to_every_split_near_the_fractions(sample_tiles: TileSet) -> None:
    for scene in sample_tiles.scenes:
        kept = scene.train + scene.validation + scene.test
        for split, fraction in sample_tiles.config.fractions().items():
            assert getattr(scene, split) / kept == pytest.approx(fraction, abs=0.05)


def test_two_dates_of_one_square_share_their_splits_block_by_block(tmp_path: Path, write_image: Any) -> None:
    for seed, name in enumerate(("T32ULA_20170101", "T32ULA_20170202", "T32ULB_20170101")):
        write_image(tmp_path / "s" / f"{name}.png", 176, 176, seed)
    config = DataConfig(source=str(tmp_path / "s"), tile_size=16, block_tiles=2, gap=4)
    tiles = prepare(config, tmp_path / "cache")
    assert_apart(tiles, 4)
    splits_of = defaultdict(set)
    for split, origins in tiles.origins.items():
        for scene, y, x in origins:
            splits_of[tiles.scenes[scene].place, y // 36, x // 36].add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert {scene.place for scene in tiles.scenes} == {"32ULA", "32ULB"}
    # This is not because each square went to a single split: all three splits are there.
    assert set().union(*(splits_of[key] for key in splits_of if key[0] == "32ULA")) == set(SPLITS)


def test_images_of_one_square_that_do_not_line_up_go_to_one_split(tmp_path: Path, write_image: Any) -> None:
    write_image(tmp_path / "s" / "T32ULA_a.png", 176, 176, 1)
    write_image(tmp_path / "s" / "T32ULA_b.png", 100, 176, 2)
    write_image(tmp_path / "s" / "other.png", 176, 176, 3)
    config = DataConfig(source=str(tmp_path / "s"), tile_size=16, block_tiles=2, gap=4)
    tiles = prepare(config, tmp_path / "cache")
    holders = {split for split in SPLITS for scene, _, _ in tiles.origins[split] if scene < 2}
    assert len(holders) == 1


def test_a_copy_under_another_name_does_not_leak(tmp_path: Path, write_image: Any) -> None:
    for index in range(12):
        path = write_image(tmp_path / "s" / f"{index}.png", 16, 16, index)
        (tmp_path / "s" / f"copy{index}.png").write_bytes(path.read_bytes())
    tiles = prepare(DataConfig(source=str(tmp_path / "s"), tile_size=16), tmp_path / "cache")
    contents = {split: {tile.numpy().tobytes() for tile in getattr(tiles, split)} for split in SPLITS}
    assert sum(map(len, contents.values())) == len(set().union(*contents.values())) == 12


@pytest.mark.parametrize("mode", ["tile", "resize"])
def test_a_folder_of_small_images_is_split_image_by_image(
    tmp_path: Path, write_image: Any, mode: str
) -> None:
    for index in range(40):
        write_image(tmp_path / "s" / f"{index}.png", 40, 40, index)
    config = DataConfig(source=str(tmp_path / "s"), mode=mode, tile_size=16, block_tiles=3)
    tiles = prepare(config, tmp_path / "cache")
    each = 4 if mode == "tile" else 1
    owners = {split: Counter(scene for scene, _, _ in tiles.origins[split]) for split in SPLITS}
    assert sum(len(owner) for owner in owners.values()) == 40
    assert all(count == each for owner in owners.values() for count in owner.values())
    assert [len(owners[split]) for split in SPLITS] == [28, 6, 6]


def test_totals_come_close_to_the_fractions_over_many_places() -> None:
    rng = np.random.default_rng(0)
    config = DataConfig(validation_fraction=0.1, test_fraction=0.2)
    kept = {
        Unit(f"p{p}", r, 0): int(rng.integers(0, 37))
        for p in range(30)
        for r in range(int(rng.integers(1, 12)))
    }
    totals = Counter[str]()
    for unit, split in assign(kept, config).items():
        totals[split] += kept[unit]
    for split, fraction in config.fractions().items():
        assert totals[split] / sum(kept.values()) == pytest.approx(fraction, abs=0.01)


def test_assignment_depends_on_the_seed_and_on_nothing_else() -> None:
    kept = {Unit(place, row, column): 9 for place in "abc" for row in range(4) for column in range(4)}
    backwards = dict(reversed(kept.items()))
    assert assign(kept, DataConfig()) == assign(backwards, DataConfig())
    assert assign(kept, DataConfig()) != assign(kept, DataConfig(split_seed=1))


@pytest.mark.parametrize("units", [3, 4, 5, 6])
@pytest.mark.parametrize("places", [1, 3])
def test_even_few_blocks_fill_every_split(units: int, places: int) -> None:
    sizes = [36, 1, 12, 12, 4, 30][:units]
    for seed in range(20):
        kept = {Unit(f"p{i % places}", i, 0): size for i, size in enumerate(sizes)}
        assert set(assign(kept, DataConfig(split_seed=seed)).values()) == set(SPLITS)


def test_too_few_blocks_is_one_sentence_that_says_what_to_change() -> None:
    kept = {Unit("a", 0, 0): 5, Unit("a", 0, 1): 5, Unit("a", 0, 2): 0}
    with pytest.raises(
        DataError, match=r"in 2 blocks of ground, too few .* lower tile_size, block_tiles or gap"
    ):
        assign(kept, DataConfig())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("S2A_MSIL2A_20170613T101031_N0205_R022_T33UUU_20170613T101608.jp2", "33UUU"),
        ("2017/32ULA_20170613.png", "32ULA"),
        ("32ULA.png", "32ULA"),
        ("S2A_5QKB_20200101_0_L2A.tif", "05QKB"),
        ("T05QKB-b.tif", "05QKB"),
        ("A32ULA.png", "A32ULA"),  # not a token of its own
        ("32ULAX_1.png", "32ULAX_1"),
        ("61ULA.png", "61ULA"),  # there are 60 zones
        ("32UIA.png", "32UIA"),  # MGRS has no I
        ("forest/1.png", "forest/1"),
        ("water/1.png", "water/1"),
        ("v1.2.png", "v1.2"),
    ],
)
def test_the_place_is_the_mgrs_square_or_else_the_file(name: str, place: str) -> None:
    assert ground_of(name).place == place
