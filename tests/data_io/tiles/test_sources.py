"""Which files are images of a source, and which of them show the same ground."""

from pathlib import Path

import pytest

from data_io import DataError
from data_io.tiles.sources import SAMPLE_CREDIT, SAMPLE_FOLDER, list_images, place_of


def test_the_sample_is_two_scenes_with_their_credit() -> None:
    assert [image.name for image in list_images("sample")] == ["brandenburg_winter.png", "virginia_coast.png"]
    assert SAMPLE_CREDIT in (SAMPLE_FOLDER / "CREDITS.md").read_text(encoding="utf-8")


def test_a_folder_is_searched_with_its_subfolders_in_a_fixed_order(tmp_path: Path) -> None:
    names = ["b/2.JPG", "b/10.tiff", "a.jp2", "c.PNG", "d.j2k", "b/1.jpeg", "e.tif"]
    for name in [*names, "notes.txt", "._a.jp2", "b/.hidden.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [image.name for image in list_images(str(tmp_path))] == sorted(names)


def test_one_file_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    (image,) = list_images(str(tmp_path / "x.png"))
    assert (image.name, image.path) == ("x.png", tmp_path / "x.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (None, "there is no file or folder"),
        ("empty", "holds no PNG, JPEG, TIFF or JP2 image"),
        ("notes.txt", "is not a PNG, JPEG, TIFF or JP2 image"),
    ],
)
def test_a_source_without_images_is_one_sentence_that_names_it(
    tmp_path: Path, make: str | None, message: str
) -> None:
    path = tmp_path / (make or "missing")
    if make == "empty":
        path.mkdir()
    elif make:
        path.touch()
    with pytest.raises(DataError, match=message) as caught:
        list_images(str(path))
    assert str(path) in str(caught.value)


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
    assert place_of(name) == place
