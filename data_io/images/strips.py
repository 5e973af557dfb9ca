"""Read a large image in strips of rows with GDAL, so that it is never whole in memory."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from data_io.errors import DecodeError
from data_io.images.gdal import ROWS, open_dataset, reason
from data_io.images.pillow import is_upright

FORMATS = frozenset({"JPEG2000", "TIFF", "PNG"})
"""Pillow's formats that GDAL reads in part; a JPEG is always decoded whole."""

LOSSLESS = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd"})
"""TIFF compressions, by Pillow's names, for which any two decoders give the same pixels."""

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_SYCC = 18  # enumerated colour space of a JP2 whose pixels are luminance and chrominance


class Strips:
    """An image opened by GDAL. height, width: in pixels. See `matches_pillow` for the images it suits.

    Peak memory is about 200 MB for 10980 x 10980 pixels in blocks of 1024 x 1024, Python and GDAL included;
    an image stored as a single block (an untiled TIFF in one strip) needs room for all of it. Opening and
    `rows` raise DecodeError.
    """

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            self.dataset = open_dataset(path, None, stack)
            self.height, self.width = self.dataset.height, self.dataset.width
            self._stack = stack.pop_all()

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """(bottom - top, width, 3) uint8; fast as long as successive calls move down the image."""
        strip = np.empty((bottom - top, self.width, 3), np.uint8)
        for y in range(top, bottom, ROWS):
            window = Window(0, y, self.width, min(ROWS, bottom - y))
            try:
                part = self.dataset.read(window=window)
            except RasterioError as error:
                raise DecodeError(reason(error)) from error
            strip[y - top : y - top + ROWS] = np.moveaxis(part, 0, 2)
        return strip

    @property
    def is_plain_rgb(self) -> bool:
        """Whether the channels are red, green and blue of 8 bits, and no others."""
        return bool(self.dataset.dtypes == ("uint8",) * 3 and self.dataset.colorinterp == _RGB)

    def close(self) -> None:
        self._stack.close()


def matches_pillow(image: Image.Image, path: Path) -> bool:
    """Whether GDAL and Pillow give the same pixels: stored as RGB, in a coding that leaves no choice.

    image: `path` opened by Pillow.
    """
    if image.mode != "RGB" or image.has_transparency_data or image.format not in FORMATS:
        return False
    if not is_upright(image):
        return False
    if image.format == "TIFF":
        return image.info.get("compression") in LOSSLESS
    if image.format == "PNG":
        return not image.info.get("interlace")
    with path.open("rb") as file:
        head = file.read(1 << 16)
    box = head.find(b"colr\x01")  # followed by precedence, approximation, and the colour space in 4 bytes
    return box < 0 or int.from_bytes(head[box + 7 : box + 11], "big") != _SYCC
