"""A stack of images in one .npy file: (n, height, width, bands), (n, bands, height, width) or grey."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from data_io.errors import DataError
from data_io.images.header import Header
from data_io.sources import ImageSource, SourceImage, path_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data_io.images.raster import BandRaster, Raster

MAX_BANDS = 32
"""An axis of at most so many values, first or last in an image, holds its bands."""


@dataclass(frozen=True)
class StackedImage(SourceImage):
    """`part` is its index in the stack. stack: memory-mapped, (n, height, width, bands)."""

    stack: "NDArray[Any]" = field(kw_only=True, compare=False, repr=False)

    def open(self) -> "Raster":
        from data_io.images.render import as_it_stands

        return as_it_stands(self.open_bands(), str(self))

    def open_bands(self) -> "BandRaster":
        from data_io.images.raster import ArrayBands

        return ArrayBands(self.stack[int(self.part)])

    def header(self) -> Header:
        from data_io.images.render import header_of

        return header_of(self.open_bands(), reading="")

    def digest(self) -> str:
        image = self.stack[int(self.part)]
        return hashlib.sha256(f"{image.dtype} {image.shape}\n".encode() + image.tobytes()).hexdigest()


class Source(ImageSource):
    """Any file whose name ends in .npy."""

    @classmethod
    def claims(cls, source: str) -> bool:
        return source.lower().endswith(".npy") and path_of(source).is_file()

    def list_images(self) -> list[SourceImage]:
        import numpy as np

        path = path_of(self.source)
        try:
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{path} is not a .npy file of numbers, or is cut short: save the stack again with numpy.save"
            ) from error
        shape = stack.shape
        if stack.dtype.kind not in "uif" or not 3 <= len(shape) <= 4 or 0 in shape:
            raise DataError(
                f"{path} must be numbers of shape (n, height, width, bands), not {stack.dtype} {shape}: save "
                "it so"
            )
        if len(shape) == 3:
            stack = stack[..., None]
        elif shape[3] > MAX_BANDS and shape[1] <= MAX_BANDS:
            stack = np.moveaxis(stack, 1, 3)
        digits = len(str(len(stack) - 1))
        return [StackedImage(f"{row:0{digits}d}", path, str(row), stack=stack) for row in range(len(stack))]
