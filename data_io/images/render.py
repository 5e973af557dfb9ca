"""8-bit RGB made of the bands of any image: which bands, and which values become black and white."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_io.errors import DataError
from data_io.images.header import Header, example_of
from data_io.images.raster import BandRaster

ROWS = 256
"""Rows stretched at a time."""

RGB = (1, 2, 3)
"""The bands of an image of red, green and blue."""

Limits = Sequence[tuple[float, float]]
"""For each band shown, the values that become black and white."""


def header_of(image: BandRaster, reading: str = "bands") -> Header:
    """The header of an image whose bands are open."""
    bands, is_picture = len(image.names), image.picture is not None
    return Header(image.height, image.width, reading, bands, image.dtype, is_picture)


def as_it_stands(image: BandRaster, name: str) -> "Rendered":
    """An image of 8 bits as it is to be seen.

    Raises DataError, which says what to set, where that is not known; the image is closed then.
    """
    lacks = header_of(image).lacks
    if lacks or image.picture is None:
        image.close()
        raise DataError(f"{name} {lacks}")
    return Rendered(image, image.picture, None)


def choose_bands(image: BandRaster, wanted: Sequence[int | str] | None, name: str) -> tuple[int, ...]:
    """The numbers of the bands to show, one or three.

    wanted: numbers from 1, or names; None for the bands that show the image as it stands.

    Raises DataError, which names the image, where it has no such band or must be told which to show.
    """
    if wanted is None:
        if image.picture is None:
            raise DataError(
                f"{name} has {len(image.names)} bands of {image.dtype}: say which to show by data.bands, "
                f"such as {example_of(len(image.names))} (--bands)"
            )
        return image.picture
    known = {_key(band): number for number, band in enumerate(image.names, 1) if band}
    numbers = [band if isinstance(band, int) else known.get(_key(band), 0) for band in wanted]
    for band, number in zip(wanted, numbers, strict=True):
        if not 1 <= number <= len(image.names):
            names = f" named {', '.join(filter(None, image.names))}" if known else ""
            raise DataError(
                f"{name} has no band {band}, but {len(image.names)}{names}: change data.bands (--bands), or "
                "take the image out of the source"
            )
    return tuple(numbers)


def check_type(image: BandRaster, limits: Limits | None, name: str) -> None:
    """Raises DataError where values cannot be shown so: over 8 bits as they are, or a foreign stretch."""
    if limits is None:
        if image.dtype != "uint8":
            raise DataError(
                f"{name} has values of {image.dtype}: give data.stretch, such as 2,98 for percentiles or "
                "0,3000 for values (--stretch)"
            )
        return
    if np.dtype(image.dtype).kind not in "uif":
        raise DataError(f"{name} has values of {image.dtype}, which cannot be stretched: convert it")
    kind = np.dtype(image.dtype)
    top = np.iinfo(kind).max if kind.kind in "ui" else np.inf
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    if low >= top or high > 4 * top:
        raise DataError(
            f"{name} has values of {image.dtype}, up to {top}, which a stretch of {low:g} to {high:g} does "
            "not fit: change data.stretch (--stretch), or choose other bands or images"
        )


class Rendered:
    """A Raster of one band (as grey) or three of an image; what holds no data is (0, 0, 0).

    limits: of each of `bands`; values between them become 1 to 255, so that dark ground is not taken for
    nodata. None leaves 8-bit values as they are.
    """

    def __init__(self, image: BandRaster, bands: Sequence[int], limits: Limits | None) -> None:
        self._image, self._bands, self._limits = image, tuple(bands), limits
        self.height, self.width = image.height, image.width
        self.close = image.close

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        pixels = np.empty((bottom - top, self.width, 3), np.uint8)
        for y in range(top, bottom, ROWS):  # floats of all rows would take many times the room
            end = min(y + ROWS, bottom)
            values, valid = self._image.read(self._bands, y, end)
            if self._limits is not None:
                values = _stretched(values, self._limits)
            part = pixels[y - top : end - top]
            part[:] = np.moveaxis(values, 0, 2)
            part[~valid] = 0
        return pixels


def _stretched(values: NDArray[Any], limits: Limits) -> NDArray[np.uint8]:
    """(bands, rows, width) of any type -> 1 to 255."""
    edges = np.array(limits, np.float32)[:, :, None, None]
    low, high = edges[:, 0], edges[:, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (values.astype(np.float32) - low) / (high - low)
    stretched: NDArray[np.uint8] = np.rint(1 + 254 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)
    return stretched


def _key(name: str) -> str:
    """`B4`, `b04` and `B04` are one band."""
    word = name.strip().lower()
    return f"b0{word[1:]}" if word[:1] == "b" and word[1:].isdecimal() and len(word) == 2 else word
