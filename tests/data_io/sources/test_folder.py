"""Which files of a folder are images."""

import os
from pathlib import Path

import pytest

from data_io import DataConfig, DataError
from data_io.sources import find_images, list_images


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


def test_linked_folders_come_after_real_ones_and_once(tmp_path: Path) -> None:
    for name in ("store/b/1.png", "root/c/2.png", "root/c/d/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root = tmp_path / "root"
    (root / "a").symlink_to("c")  # its images have the names of the real folder
    (root / "y").symlink_to("../store/b")
    (root / "x").symlink_to("../store")  # searched before y, as its name comes first
    (root / "c" / "up").symlink_to("..")
    (root / "4.png").symlink_to("../store/b/1.png")
    assert [image.name for image in list_images(str(root))] == ["4.png", "c/2.png", "c/d/3.png", "x/b/1.png"]


def test_a_folder_that_may_not_be_opened_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open/1.png", "closed/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    honest = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = find_images(DataConfig(source=str(tmp_path)))
    assert [image.name for image in listing.images] == ["open/1.png"]
    assert listing.left_out.by_reason() == {"folders that may not be opened": 1}


def test_two_files_that_cannot_be_told_apart_in_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    (tmp_path / r"caf\xe9.png").touch()
    with pytest.raises(DataError, match="rename one of them"):
        list_images(str(tmp_path))
