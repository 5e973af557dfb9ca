"""A zip archive is the folder that it would unpack to."""

import shutil
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from data_io import DataConfig, DataError
from data_io.images.files import decode
from data_io.sources import find_images, list_images
from data_io.tiles.cache import find_or_cut
from data_io.tiles.splits import SPLITS
from tests.data_io.pictures import geotiff, picture, save


def test_it_gives_the_tiles_and_the_hash_of_the_folder(
    small: DataConfig, folder: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    packed = find_or_cut(small.model_copy(update={"source": archive}), tmp_path / "one")
    unpacked = find_or_cut(small, tmp_path / "other")
    assert packed.record == unpacked.record
    for split in SPLITS:
        np.testing.assert_array_equal(packed.tiles[split], unpacked.tiles[split])


def test_the_folders_rules_hold(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.webp", ".hidden/d.png"):
        save(tmp_path / "f" / name, picture(1))
    (tmp_path / "f" / "notes.txt").touch()
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "f")
    listing = find_images(DataConfig(source=archive, exclude="b"))
    assert [image.name for image in listing.images] == ["a.png"]
    assert listing.left_out.by_reason() == {
        "excluded by data.exclude": 1,
        "hidden, or in a hidden folder": 1,
        "of kinds that are not read": 1,
    }


def test_deep_members_are_read_with_gdal(tmp_path: Path) -> None:
    values = picture(2, bands=5, top=4000, dtype=np.uint16)
    path = geotiff(tmp_path / "a.tif", values, nodata=5)
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(path, "deep/a.tif")
        archive.write(save(tmp_path / "b.png", picture(3)), "b.png")
    plain, deep = list_images(str(tmp_path / "x.zip"))
    np.testing.assert_array_equal(plain.open().rows(0, 64), decode(tmp_path / "b.png"))
    assert str(deep) == f"{tmp_path / 'x.zip'}[deep/a.tif]"
    with closing(deep.open_bands()) as bands:
        np.testing.assert_array_equal(bands.read([5], 0, 64)[0][0], values[:, :, 4])
    with pytest.raises(DataError, match=r"x\.zip\[deep/a\.tif\] has 5 bands of uint16: give"):
        deep.open()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"x\.zip cannot be read as a zip archive"):
        list_images(str(tmp_path / "x.zip"))
    (tmp_path / "x.tar.gz").touch()
    with pytest.raises(DataError, match=r"x\.tar\.gz is an archive that is not read: unpack it"):
        list_images(str(tmp_path / "x.tar.gz"))


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(save(tmp_path / "a.png", picture(1)), "a.png")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[200] ^= 255
    (tmp_path / "x.zip").write_bytes(content)
    (image,) = list_images(str(tmp_path / "x.zip"))
    with pytest.raises(DataError, match=r"x\.zip\[a\.png\] cannot be read \(Bad CRC-32"):
        image.digest()
