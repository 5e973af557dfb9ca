"""Images of any bands and types, and masks, read with GDAL by rows."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from data_io.errors import DecodeError
from data_io.images.header import KINDS
from data_io.images.raster import picture_of

BEGINNINGS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"P5": "PNM",
    b"P6": "PNM",
}
"""GDAL's driver by the first bytes of a file; no other driver is asked."""

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
_SAMPLE = 512
"""Side, in pixels, of the reduced alpha channel that tells whether it is one."""


def open_dataset(path: Path, content: bytes | None, stack: ExitStack, **options: str | int) -> DatasetReader:
    """The file, or the bytes in its stead, opened until `stack` ends. Raises DecodeError.

    options: of GDAL, in the place of those in OPTIONS.
    """
    name = path.absolute()
    if content is None and not _is_utf8(name):
        content = name.read_bytes()  # GDAL's binding takes no other names
    driver = _driver(name, content)
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with ExitStack() as opening, quiet:
        opening.enter_context(rasterio.Env(**OPTIONS | options))
        try:
            if content is None:
                opened = rasterio.open(name, driver=driver)
            else:
                opened = opening.enter_context(MemoryFile(content)).open(driver=driver)
        except RasterioError as error:
            raise DecodeError(reason(error)) from error
        dataset: DatasetReader = opening.enter_context(opened)
        stack.push(opening.pop_all())
    return dataset


class GdalBands:
    """A BandRaster of a file; opening it and `read` raise DecodeError.

    A pixel holds data unless all the bands asked for are nodata (the file's tag, 0, or not finite), or the
    file's mask or alpha channel leaves it out.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        with ExitStack() as stack:
            self._dataset = open_dataset(path, content, stack)
            self.height, self.width = self._dataset.height, self._dataset.width
            self._alpha = self._find_alpha()
            self._stack = stack.pop_all()
        dataset, meaning = self._dataset, self._dataset.colorinterp
        self._indexes = [index for index in dataset.indexes if index != self._alpha]
        labels = {
            index: _RGB.index(meaning[index - 1]) for index in self._indexes if meaning[index - 1] in _RGB
        }
        self.names = tuple(
            dataset.descriptions[index - 1] or (meaning[index - 1].name if index in labels else "")
            for index in self._indexes
        )
        types = {dataset.dtypes[index - 1] for index in self._indexes}
        self.dtype = str(np.result_type(*types))
        self.picture = picture_of(len(self._indexes))
        if sorted(labels.values()) == [0, 1, 2]:
            by_label = {label: self._indexes.index(index) + 1 for index, label in labels.items()}
            self.picture = (by_label[0], by_label[1], by_label[2])
        elif meaning[0] == ColorInterp.palette:
            self.picture = None

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        dataset = self._dataset
        indexes = [self._indexes[band - 1] for band in bands]
        window = Window(0, top, self.width, bottom - top)
        try:
            values = dataset.read(indexes, window=window).astype(self.dtype, copy=False)
            valid = self._data_in(values, indexes)
            if self.has_mask:
                valid &= dataset.read_masks(1, window=window) > 0
            if self._alpha:
                valid &= dataset.read(self._alpha, window=window) > 0
        except RasterioError as error:
            raise DecodeError(reason(error)) from error
        return values, valid

    def close(self) -> None:
        self._stack.close()

    @property
    def is_plain_rgb(self) -> bool:
        """Whether the channels are red, green and blue of 8 bits, and no others."""
        return bool(self._dataset.dtypes == ("uint8",) * 3 and self._dataset.colorinterp == _RGB)

    @cached_property
    def has_mask(self) -> bool:
        """Whether the file holds a mask of its own."""
        flags = self._dataset.mask_flag_enums[0]
        return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags

    def _data_in(self, values: NDArray[Any], indexes: Sequence[int]) -> NDArray[np.bool_]:
        found = np.zeros(values.shape[1:], bool)
        for value, index in zip(values, indexes, strict=True):
            nodata = self._dataset.nodatavals[index - 1]
            held = value != 0
            if nodata is not None and not np.isnan(nodata):
                with np.errstate(over="ignore"):
                    held = held & (
                        value != float(nodata)
                    )  # never cast, as a tag may be out of the type's range
            found |= held & np.isfinite(value) if value.dtype.kind == "f" else held
        return found

    def _find_alpha(self) -> int | None:
        """The alpha channel, unless it is another band in disguise."""
        dataset = self._dataset
        if ColorInterp.alpha not in dataset.colorinterp or dataset.count == 1:
            return None
        index = dataset.colorinterp.index(ColorInterp.alpha)
        shape = (dataset.count, min(dataset.height, _SAMPLE), min(dataset.width, _SAMPLE))
        try:
            values = dataset.read(out_shape=shape)
        except RasterioError as error:
            raise DecodeError(reason(error)) from error
        return index + 1 if is_alpha(values[index], np.delete(values, index, axis=0)) else None


def is_alpha(alpha: NDArray[Any], colours: NDArray[Any]) -> bool:
    """Whether a channel marked as alpha is transparency, and not near infrared, which is stored so too.

    alpha: (height, width). colours: (bands, height, width). Transparency is wholly clear or opaque in most
    places, or all alike, or has one colour under what is clear. Near infrared has values in between nearly
    everywhere, and 0 on water of any colour.
    """
    top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    between = alpha[(alpha > 0) & (alpha < top)]
    if 2 * between.size <= np.count_nonzero(alpha) or np.unique(between).size <= 16:
        return True
    clear = colours[:, alpha == 0]
    return bool(clear.size and np.all(clear == clear[:, :1]))


def mask_of(path: Path, content: bytes | None = None) -> NDArray[np.bool_]:
    """(height, width): which pixels hold data by the nodata tag or the mask in a file. Raises DecodeError."""
    with ExitStack() as stack:
        dataset = open_dataset(path, content, stack)
        try:
            return np.asarray(dataset.dataset_mask() > 0)
        except RasterioError as error:
            raise DecodeError(reason(error)) from error


def has_mask(path: Path, content: bytes | None = None) -> bool:
    """Whether the file holds a mask of its own. Raises DecodeError."""
    with closing(GdalBands(path, content)) as bands:
        return bands.has_mask


def origin_of(path: Path, content: bytes | None = None) -> tuple[float, float, float, float] | None:
    """Where an image's top left corner lies: y and x in pixels, and a pixel's height and width on the ground.

    None where the file does not say, or its rows do not run from west to east and north to south.
    """
    try:
        with ExitStack() as stack:
            turn = open_dataset(path, content, stack, GDAL_GEOREF_SOURCES="INTERNAL").transform
    except OSError:
        return None
    if turn.is_identity or turn.b or turn.d or turn.a <= 0 or turn.e >= 0:
        return None
    return turn.f / turn.e, turn.c / turn.a, -turn.e, turn.a


def reason(error: RasterioError) -> str:
    """GDAL's own message, at the end of rasterio's chain of exceptions."""
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    return " ".join(str(cause).split()) or type(cause).__name__


def _driver(path: Path, content: bytes | None) -> str:
    if content is None:
        with path.open("rb") as file:
            content = file.read(8)
    for beginning, driver in BEGINNINGS.items():
        if content.startswith(beginning):
            return driver
    if content.startswith((b"P2", b"P3")):
        raise DecodeError("its numbers are above 255 and written as text: save it as P5 or P6, in bytes")
    raise DecodeError(f"it is no {KINDS} image")


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
