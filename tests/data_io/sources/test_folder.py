"""Which files of a folder are images."""

from pathlib import Path

import pytest

from data_io import DataError
from data_io.sources import list_images


def test_a_folder_is_searched_with_its_subfolders_in_a_fixed_order(tmp_path: Path) -> None:
    names = ["b/2.JPG", "b/10.tiff", "a.jp2", "c.PNG", "d.j2k", "b/1.jpeg", "e.tif"]
    for name in [*names, "notes.txt", "._a.jp2", "b/.hidden.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    images = list_images(str(tmp_path))
    assert [image.name for image in images] == sorted(names)
    assert [image.file for image in images] == [tmp_path / name for name in sorted(names)]


def test_a_folder_without_images_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError, match=r"holds no PNG, .* image \(left out: 1 of kinds that are not read \(.txt 1\)\)"
    ) as caught:
        list_images(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
