"""An open image, whose pixels are read by rows."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Raster(Protocol):
    """An open image; whoever opened it closes it. height, width: in pixels."""

    height: int
    width: int

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Rows `top` to `bottom` - 1 as (bottom - top, width, 3) uint8. Raises DataError."""

    def close(self) -> None: ...


class ArrayRaster:
    """A Raster whose pixels are in memory, or memory-mapped. pixels: (height, width, 3) uint8."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.height, self.width, _ = pixels.shape

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        return self._pixels[top:bottom]

    def close(self) -> None: ...
