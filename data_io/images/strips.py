"""Read a large image in strips of rows with GDAL, so that it is never whole in memory."""

import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from data_io.errors import DecodeError

DRIVER = {"JPEG2000": "JP2OpenJPEG", "TIFF": "GTiff", "PNG": "PNG"}
"""GDAL's driver for each of Pillow's formats that can be read in part; a JPEG is always decoded whole."""

LOSSLESS = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd"})
"""TIFF compressions, by Pillow's names, for which any two decoders give the same pixels."""

ROWS = 256
"""Rows read at a time."""

OPTIONS = {
    "GDAL_CACHEMAX": 64 << 20,  # bytes; a row of ESA's blocks of 1024 x 1024 in a scene takes 34 MB
    "GDAL_NUM_THREADS": "1",  # each other thread would hold a block at 32 bits a value, and print errors
    # Open nothing but the file itself: no neighbouring files, no side-car files, no network.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "NONE",
    "PROJ_NETWORK": "OFF",
}

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_ORIENTATION = 274  # a TIFF's tag
_SYCC = 18  # enumerated colour space of a JP2 whose pixels are luminance and chrominance


class Strips:
    """An image opened by GDAL. height, width: in pixels. See `matches_pillow` for the images it suits.

    Peak memory is about 200 MB for 10980 x 10980 pixels in blocks of 1024 x 1024, Python and GDAL included;
    an image stored as a single block (an untiled TIFF in one strip) needs room for all of it. Opening and
    `rows` raise DecodeError.
    """

    def __init__(self, path: Path, pillow_format: str) -> None:
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            stack.enter_context(rasterio.Env(**OPTIONS))
            try:
                opened = rasterio.open(path.absolute(), driver=DRIVER[pillow_format])
            except RasterioError as error:
                raise DecodeError(_reason(error)) from error
            self.dataset: DatasetReader = stack.enter_context(opened)
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
                raise DecodeError(_reason(error)) from error
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
    if image.mode != "RGB" or image.has_transparency_data or image.format not in DRIVER:
        return False
    if image.format == "TIFF":
        upright = image.tag_v2.get(_ORIENTATION, 1) == 1  # type: ignore[attr-defined]  # Pillow rotates the others
        return upright and image.info.get("compression") in LOSSLESS
    if image.format == "PNG":
        return not image.info.get("interlace")
    with path.open("rb") as file:
        head = file.read(1 << 16)
    box = head.find(b"colr\x01")  # followed by precedence, approximation, and the colour space in 4 bytes
    return box < 0 or int.from_bytes(head[box + 7 : box + 11], "big") != _SYCC


def _reason(error: RasterioError) -> str:
    """GDAL's own message, at the end of rasterio's chain of exceptions."""
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    return " ".join(str(cause).split()) or type(cause).__name__
