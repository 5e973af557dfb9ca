"""Patches named by their product are split by their place in its square, with the gap kept."""

import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from shutil import make_archive
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from rasterio import Affine

from data_io import DataConfig, DataError
from data_io.tiles.cache import find_or_cut
from data_io.tiles.entry import META, CacheEntry
from data_io.tiles.ground import ground_of
from data_io.tiles.splits import FAR, SPLITS
from tests.data_io.pictures import geotiff, picture, save

COLUMNS = 8


def write(folder: Path, sizes: tuple[int, ...], side: int, day: str = "20170613") -> Path:
    """Squares of so many patches, in rows of COLUMNS."""
    for square, count in zip("PQRST", sizes, strict=False):
        for number in range(count):
            name = (
                f"S2A_MSIL2A_{day}T101031_N9999_R022_T33UU{square}_{number // COLUMNS}_{number % COLUMNS}.png"
            )
            save(folder / name, picture(crc32(f"{day}{name}".encode()), side, side))
    return folder


def assert_apart(entry: CacheEntry, gap: int, side: int) -> None:
    """Distances of tiles of two splits on the ground, in pixels along each side."""
    corners: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    covered = entry.config.tile_size if entry.config.mode == "tile" else side
    for split in SPLITS:
        for scene, y, x in entry.record.origins[split]:
            ground = ground_of(entry.record.scenes[scene].name)
            assert ground.row is not None
            assert ground.column is not None
            corners[ground.place][split].append((ground.row * side + y, ground.column * side + x))
    for by_split in corners.values():
        for one, other in combinations(by_split.values(), 2):
            apart = np.abs(np.array(one)[:, None] - np.array(other)[None]).max(axis=2)
            assert apart.min() >= covered + gap


@pytest.mark.parametrize("sizes", [(50, 5, 5), (20, 20, 20), (58, 1, 1), (60,)])
@pytest.mark.parametrize(
    "settings", [{}, {"gap": 0}, {"block_tiles": 2}, {"stride": 24}, {"mode": "resize", "block_tiles": 2}]
)
@pytest.mark.parametrize("side", [64, 120])
def test_shares_are_near_and_no_two_splits_come_nearer_than_the_gap(
    tmp_path: Path, sizes: tuple[int, ...], settings: dict[str, Any], side: int
) -> None:
    config = DataConfig(source=str(write(tmp_path / "patches", sizes, side)), min_std=0, **settings)
    entry = find_or_cut(config, tmp_path / "cache")
    assert_apart(entry, config.gap, side)
    counts = {split: len(tiles) for split, tiles in entry.tiles.items()}
    far = [
        s for s, share in config.fractions().items() if abs(counts[s] / sum(counts.values()) - share) > FAR
    ]
    assert not far or any("were asked for" in note for note in entry.notes())
    if sizes == (50, 5, 5):
        assert not far
    in_gaps = sum(scene.cut == 0 for scene in entry.record.scenes)
    assert (in_gaps > 0) == any(note.startswith(f"left out: {in_gaps} patches") for note in entry.notes())


def test_two_dates_of_a_patch_are_in_one_split(tmp_path: Path) -> None:
    write(tmp_path / "patches", (40,), 120)
    write(tmp_path / "patches", (40,), 120, day="20170801")
    entry = find_or_cut(DataConfig(source=str(tmp_path / "patches"), min_std=0), tmp_path / "cache")
    assert_apart(entry, 16, 120)
    assert sum(len(tiles) for tiles in entry.tiles.values()) == 80


def test_too_few_blocks_say_what_to_lower(tmp_path: Path) -> None:
    config = DataConfig(source=str(write(tmp_path / "patches", (40,), 64)), mode="resize", min_std=0)
    with pytest.raises(DataError, match=r"too few for a train, .* lower block_tiles or gap"):
        find_or_cut(config, tmp_path / "cache")


def test_patches_of_several_sizes_go_to_one_split(tmp_path: Path) -> None:
    write(tmp_path / "patches", (8, 8, 8), 64)
    first = next((tmp_path / "patches").glob("*UUP_0_0*"))
    save(first, picture(1, 80, 80))
    entry = find_or_cut(DataConfig(source=str(tmp_path / "patches"), min_std=0), tmp_path / "cache")
    holders = defaultdict(set)
    for split in SPLITS:
        for scene, _, _ in entry.record.origins[split]:
            holders[entry.record.scenes[scene].place].add(split)
    assert len(holders["33UUP"]) == 1


def test_splits_that_older_versions_got_wrong_are_made_again(tmp_path: Path) -> None:
    for name, count in (("big_a", 50), ("big_b", 5), ("big_c", 5)):
        save(tmp_path / "s" / f"{name}.png", picture(crc32(name.encode()), 32, 32 * count))
    config = DataConfig(source=str(tmp_path / "s"), tile_size=32, block_tiles=50, min_std=0)
    entry = find_or_cut(config, tmp_path / "cache")
    assert len(entry.tiles["train"]) == 50
    assert any("were asked for" in note for note in entry.notes())
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    meta = json.loads((folder / META).read_text())
    origins = meta["origins"]
    origins["train"], origins["test"] = origins["test"], origins["train"]
    (folder / "train.npy").rename(folder / "x")
    (folder / "test.npy").rename(folder / "train.npy")
    (folder / "x").rename(folder / "test.npy")
    (folder / META).write_text(json.dumps(meta))
    assert len(find_or_cut(config, tmp_path / "cache").tiles["train"]) == 5  # this version's own word counts
    del meta["layout"]
    (folder / META).write_text(json.dumps(meta))
    assert find_or_cut(config, tmp_path / "cache").record == entry.record


def test_georeferenced_patches_of_a_square_are_split_by_where_they_lie(tmp_path: Path) -> None:
    """Patches that overlap by half, named without a row and a column; their corners are not on a grid."""
    corners = {f"T32ULA_20220501_patch{n:02d}.tif": (64 * (n // 8) + n % 3, 64 * (n % 8)) for n in range(48)}
    for name, (y, x) in corners.items():
        where = Affine(10, 0, 399960 + 10 * x, 0, -10, 5900040 - 10 * y)
        pixels = picture(crc32(name.encode()), 128, 128)
        geotiff(tmp_path / "s" / name, pixels, transform=where, crs="EPSG:32632", photometric="RGB")
    config = DataConfig(source=str(tmp_path / "s"), tile_size=32, block_tiles=4, gap=8, min_std=0)
    entry = find_or_cut(config, tmp_path / "cache")
    placed: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for split in SPLITS:
        for scene, y, x in entry.record.origins[split]:
            top, left = corners[entry.record.scenes[scene].name]
            placed[split].append((top + y, left + x))
    assert len(placed) == 3
    for one, other in combinations(placed.values(), 2):
        assert np.abs(np.array(one)[:, None] - np.array(other)[None]).max(axis=2).min() >= 32 + 8
    assert find_or_cut(config, tmp_path / "cache").record == entry.record
    packed = make_archive(str(tmp_path / "packed"), "zip", tmp_path / "s")
    in_zip = find_or_cut(config.model_copy(update={"source": packed}), tmp_path / "other")
    assert in_zip.record == entry.record  # an archive is read as the folder that it unpacks to


def test_whole_scenes_of_a_square_keep_their_splits_with_a_georeference(tmp_path: Path) -> None:
    for day in ("20220501", "20220506"):
        where = {"transform": Affine(60, 0, 399960, 0, -60, 5900040), "crs": "EPSG:32632"}
        pixels = picture(int(day), 200, 200)
        geotiff(tmp_path / "georeferenced" / f"32ULA_{day}_0.tif", pixels, photometric="RGB", **where)
        geotiff(tmp_path / "plain" / f"32ULA_{day}_0.tif", pixels, photometric="RGB")
    config = DataConfig(source=str(tmp_path / "plain"), tile_size=32, block_tiles=2, gap=8)
    plain = find_or_cut(config, tmp_path / "cache")
    georeferenced = config.model_copy(update={"source": str(tmp_path / "georeferenced")})
    assert find_or_cut(georeferenced, tmp_path / "cache").record.origins == plain.record.origins
