"""An open image, whose pixels are read by rows: as 8-bit RGB, or as the bands that it has."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_io.errors import DataError


class Raster(Protocol):
    """An open image; whoever opened it closes it. height, width: in pixels."""

    height: int
    width: int

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Rows `top` to `bottom` - 1 as (bottom - top, width, 3) uint8. Raises DataError."""

    def close(self) -> None: ...


class BandRaster(Protocol):
    """An open image of any bands.

    height, width: in pixels. names: of the bands in order, empty where they have none; an alpha channel is no
    band. dtype: numpy's name of the type of their values. picture: the bands, counted from 1, that show the
    image as it stands: one for grey, three for red, green and blue; None where that is not known.
    """

    height: int
    width: int
    names: tuple[str, ...]
    dtype: str
    picture: tuple[int, ...] | None

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Rows `top` to `bottom` - 1 of some bands, (bands, rows, width), and which pixels hold data.

        Ask for few rows at a time, as all of them are in memory several times. Raises DataError.
        """

    def close(self) -> None: ...


class ArrayRaster:
    """A Raster whose pixels are in memory, or memory-mapped. pixels: (height, width, 3) uint8."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.height, self.width, _ = pixels.shape

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        return self._pixels[top:bottom]

    def close(self) -> None: ...


class ArrayBands:
    """A BandRaster in memory, or memory-mapped. values: (height, width, bands); 0 in all bands is nodata."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self.height, self.width, count = values.shape
        self.names = ("",) * count
        self.dtype = values.dtype.name
        self.picture = picture_of(count)

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values = np.moveaxis(self._values[top:bottom][:, :, [band - 1 for band in bands]], 2, 0)
        return values, np.asarray(values.any(axis=0))

    def close(self) -> None: ...


class StackedBands:
    """The single bands of several images of one size as one image; a pixel that no band holds is nodata.

    parts: by name. picture: they are shown as they come, one or three. Raises DataError for several sizes.
    """

    def __init__(self, parts: Mapping[str, BandRaster], name: str) -> None:
        self._parts = list(parts.values())
        sizes = {(part.height, part.width) for part in self._parts}
        if len(sizes) > 1:
            raise DataError(
                f"{name} has its bands {', '.join(parts)} in several sizes: choose bands of one resolution "
                "by data.bands (--bands)"
            )
        ((self.height, self.width),) = sizes
        self.names = tuple(parts)
        self.dtype = str(np.result_type(*(part.dtype for part in self._parts)))
        self.picture = picture_of(len(self._parts))

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        read = [self._parts[band - 1].read([1], top, bottom) for band in bands]
        values, valid = zip(*read, strict=True)
        return np.concatenate(values), np.logical_or.reduce(valid)

    def close(self) -> None:
        for part in reversed(self._parts):  # GDAL's environments end in the order of a stack
            part.close()


class RasterBands:
    """The three bands of a Raster; black is nodata."""

    names: tuple[str, ...] = ("red", "green", "blue")
    dtype = "uint8"
    picture: tuple[int, ...] | None = (1, 2, 3)

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self.height, self.width = raster.height, raster.width
        self.close = raster.close

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        pixels = self._raster.rows(top, bottom)
        return np.moveaxis(pixels[:, :, [band - 1 for band in bands]], 2, 0), np.asarray(pixels.any(axis=2))


def picture_of(count: int) -> tuple[int, ...] | None:
    """The bands that show an image of which nothing but their number is known."""
    return {1: (1,), 3: (1, 2, 3)}.get(count)
