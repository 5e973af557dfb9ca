"""A source that is one image file."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_io import DataError
from data_io.images.files import decode
from data_io.images.header import Header
from data_io.sources import list_images


def test_one_file_is_a_source_of_one_image(tmp_path: Path, write_image: Any) -> None:
    path = write_image(tmp_path / "x.png", 30, 40)
    (image,) = list_images(str(path))
    assert (image.name, image.file, str(image)) == ("x.png", path, str(path))
    assert image.header() == Header(30, 40)
    assert image.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    with closing(image.open()) as raster:
        np.testing.assert_array_equal(raster.rows(5, 25), decode(path)[5:25])


def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError, match="is not a PNG, JPEG, TIFF, JPEG 2000, WebP, BMP or PNM image"
    ) as caught:
        list_images(str(tmp_path / "notes.txt"))
    assert str(tmp_path / "notes.txt") in str(caught.value)
