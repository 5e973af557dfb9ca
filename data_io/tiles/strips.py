"""Read a large image by strips of rows through GDAL, so that it is never whole in memory."""

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
"""Of Pillow's formats: those that can be read in part, or line by line. A JPEG is decoded whole."""

LOSSLESS = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd"})
"""Compressions of TIFF, by Pillow's names, in which two decoders cannot differ."""

ROWS = 256
"""Rows read at a time."""

OPTIONS = {
    "GDAL_CACHEMAX": 64 << 20,  # bytes; a row of ESA's blocks of 1024 x 1024 in a scene takes 34 MB
    "GDAL_NUM_THREADS": "1",  # each further one takes a block in 32 bits a value, and tells errors to stderr
    # Nothing but the file itself: no neighbours, no side-car files, no network.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "NONE",
    "PROJ_NETWORK": "OFF",
}

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_ORIENTATION = 274  # a TIFF's tag
_SYCC = 18  # enumerated colour space of a JP2 whose pixels are luminance and chrominance


class Strips:
    """An open image. height, width: pixels. `fits` tells which images give Pillow's pixels, bit for bit.

    Peak memory is some 200 MB for 10980 x 10980 in blocks of 1024 x 1024, Python and GDAL included. An image
    stored as one block (an untiled TIFF in one strip) takes its own size. Raises DecodeError.
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
        """(bottom - top, width, 3) uint8. Cheap where calls go down the image."""
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
    def plain(self) -> bool:
        """It has red, green and blue of 8 bits and nothing else."""
        return bool(self.dataset.dtypes == ("uint8",) * 3 and self.dataset.colorinterp == _RGB)

    def close(self) -> None:
        self._stack.close()


def fits(image: Image.Image, path: Path) -> bool:
    """Whether strips give the pixels that Pillow gives: RGB as stored, in a coding without a choice.

    image: `path` opened by Pillow.
    """
    if image.mode != "RGB" or image.has_transparency_data or image.format not in DRIVER:
        return False
    if image.format == "TIFF":
        upright = image.tag_v2.get(_ORIENTATION, 1) == 1  # type: ignore[attr-defined]  # Pillow turns others
        return upright and image.info.get("compression") in LOSSLESS
    if image.format == "PNG":
        return not image.info.get("interlace")
    with path.open("rb") as file:
        head = file.read(1 << 16)
    box = head.find(b"colr\x01")  # then: precedence, approximation, colour space in 4 bytes
    return box < 0 or int.from_bytes(head[box + 7 : box + 11], "big") != _SYCC


def _reason(error: RasterioError) -> str:
    """GDAL's own words, which rasterio chains."""
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    return " ".join(str(cause).split()) or type(cause).__name__
