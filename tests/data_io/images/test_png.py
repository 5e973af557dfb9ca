"""PNGs written in strips are read by other libraries as the pixels that went in."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from data_io.images.png import PngWriter


@pytest.mark.parametrize("cuts", [[], [1], [40, 41, 90], list(range(1, 100))])
@pytest.mark.parametrize("width", [1, 57])
def test_any_strips_give_the_same_image_in_two_readers(tmp_path: Path, cuts: list[int], width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, width, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        writer = PngWriter(file, 100, width)
        for rows in np.split(pixels, cuts):
            writer.write(rows)
        writer.finish()
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as dataset:
        np.testing.assert_array_equal(np.moveaxis(dataset.read(), 0, 2), pixels)
