"""Folders named train, val and test stay the splits."""

from pathlib import Path
from zlib import crc32

import pytest

from data_io import DataConfig, DataError
from data_io.tiles.cache import find_or_cut
from data_io.tiles.entry import CacheEntry
from data_io.tiles.splits import SPLITS
from tests.data_io.pictures import picture, save


def fill(root: Path, **folders: int) -> DataConfig:
    """Folders of so many images in two classes."""
    for folder, count in folders.items():
        for number in range(count):
            name = f"{'Forest' if number % 2 else 'River'}/{number}.png"
            save(root / folder / name, picture(crc32(f"{folder}{number}".encode()), 40, 40))
    return DataConfig(source=str(root), tile_size=32, min_std=0)


def holders(entry: CacheEntry) -> dict[str, set[str]]:
    """By split, the first folders of the images of its tiles."""
    return {
        split: {entry.record.scenes[scene].name.split("/")[0] for scene, _, _ in entry.record.origins[split]}
        for split in SPLITS
    }


@pytest.mark.parametrize("mode", ["tile", "resize"])
def test_all_three_are_kept_whatever_the_fractions(tmp_path: Path, mode: str) -> None:
    config = fill(tmp_path / "s", train=4, val=6, test=5).model_copy(update={"mode": mode})
    entry = find_or_cut(config, tmp_path / "cache")
    assert holders(entry) == {"train": {"train"}, "validation": {"val"}, "test": {"test"}}
    assert [len(entry.tiles[split]) for split in SPLITS] == [4, 6, 5]
    assert entry.notes() == ["splits: by the source's own folders for train, validation, test"]
    assert entry.summary()["own_splits"] is True


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"train": 10, "val": 6}, {"train": {"train"}, "validation": {"val"}, "test": {"val"}}),
        ({"train": 20, "test": 6}, {"train": {"train"}, "validation": {"train"}, "test": {"test"}}),
    ],
)
def test_a_missing_one_gets_a_part_of_its_neighbour(
    tmp_path: Path, folders: dict[str, int], expected: dict[str, set[str]]
) -> None:
    entry = find_or_cut(fill(tmp_path / "s", **folders), tmp_path / "cache")
    assert holders(entry) == expected
    assert sum(len(tiles) for tiles in entry.tiles.values()) == sum(folders.values())
    assert "gets a part of the images for" in entry.notes()[0]


def test_copies_and_strays_are_left_out_and_counted(tmp_path: Path) -> None:
    config = fill(tmp_path / "s", train=6, val=3, test=3)
    (tmp_path / "s" / "train" / "copy.png").write_bytes(
        (tmp_path / "s" / "test" / "River" / "0.png").read_bytes()
    )
    save(tmp_path / "s" / "overview.png", picture(9, 40, 40))
    entry = find_or_cut(config, tmp_path / "cache")
    assert [len(entry.tiles[split]) for split in SPLITS] == [6, 3, 3]
    assert entry.left_out.by_reason() == {
        "copies of images that another split's folder holds": 1,
        "outside the folders that name the splits": 1,
    }


def test_images_of_one_square_stay_where_their_folders_put_them(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        save(tmp_path / "s" / split / "T32ULA_20220501.png", picture(ord(split[0]) + ord(split[1]), 40, 40))
    entry = find_or_cut(DataConfig(source=str(tmp_path / "s"), tile_size=32, min_std=0), tmp_path / "cache")
    assert holders(entry) == {"train": {"train"}, "validation": {"val"}, "test": {"test"}}


def test_a_split_without_tiles_is_refused(tmp_path: Path) -> None:
    config = fill(tmp_path / "s", train=6, val=1)
    with pytest.raises(
        DataError, match=r"the folders of .* give no tile for the split \w+: add images there"
    ):
        find_or_cut(config, tmp_path / "cache")
