"""A Sentinel-2 product as one image: its true-colour image, or bands of it."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_io.errors import DataError
from data_io.images.header import Header
from data_io.sources import SourceImage
from data_io.sources._choice import IN_PRODUCT, NATURAL, Choice, Product

if TYPE_CHECKING:
    from data_io.images.raster import BandRaster, Raster


@dataclass(frozen=True)
class ProductImage(SourceImage):
    """The bands `part` of a product, each of which has a file of its own, or is a member of an archive.

    find: gives the image of a name in the product.
    """

    product: Product = field(kw_only=True, compare=False, repr=False)
    find: Callable[[str], SourceImage] = field(kw_only=True, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}/{self.name}[{self.part}]"

    def open(self) -> "Raster":
        from data_io.images.render import as_it_stands

        return as_it_stands(self.open_bands(), str(self))

    def open_bands(self) -> "BandRaster":
        from data_io.images.raster import StackedBands

        with ExitStack() as stack:
            parts = {}
            for band, image in self._parts().items():
                parts[band] = image.open_bands()
                stack.callback(parts[band].close)
            opened = StackedBands(parts, str(self))
            stack.pop_all()
        return opened

    def header(self) -> Header:
        from data_io.images.render import header_of

        with closing(self.open_bands()) as bands:
            return header_of(bands)

    def files(self) -> tuple[Path, ...]:
        return tuple(image.file for image in self._parts().values())

    def digest(self) -> str:
        digests = [f"{band} {image.digest()}\n" for band, image in self._parts().items()]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _parts(self) -> dict[str, SourceImage]:
        bands = tuple(dict.fromkeys(self.part.split(",")))
        found = self.product.finest(bands)
        if not found:
            held = sorted({f"{band} {size} m" if size else band for band, size in self.product.files})
            raise DataError(
                f"{self.file}/{self.name} has not all bands of {self.part} at one pixel size, but "
                f"{', '.join(held)}: change data.bands (--bands)"
            )
        return {band: self.find(name) for band, name in found.items()}


def images_of(
    choice: Choice, file: Path, find: Callable[[str], SourceImage], bands: Sequence[int | str] | None
) -> list[SourceImage]:
    """The images of what was chosen; counts the files of products that are not among them.

    Of a product, its true-colour image is taken; without one, or where `bands` are asked for by name, its
    bands as one image. Where patterns leave none of these, every file is an image.

    file: the folder or the archive that holds them. find: gives the image of a name in it.

    Raises DataError for numbers of bands that a true-colour image does not have.
    """
    images = [find(name) for name in choice.images]
    for product in choice.products:
        true_colour = product.true_colour()
        names = [_full(band) for band in bands or () if isinstance(band, str)]
        if not names and true_colour and all(band in (1, 2, 3) for band in bands or ()):
            images.append(find(true_colour))
            used = 1
        elif not names and not product.finest(NATURAL):
            images += [find(name) for name in product.files.values()]
            used = len(product.files)
        elif len(names) < len(bands or ()):
            known = ", ".join(sorted({band for band, _ in product.files}))
            raise DataError(
                f"{product.name} is a Sentinel-2 product, whose bands have names: name one or three in "
                f"data.bands (--bands), of {known}"
            )
        else:
            part = ",".join(names or NATURAL)
            images.append(ProductImage(product.name, file, part, product=product, find=find))
            used = len(set(names or NATURAL))
        choice.left_out[IN_PRODUCT, ""] += len(product.files) - used
    return images


def _full(band: str) -> str:
    """`b4` as the `B04` of files' names."""
    return f"B0{band[1:]}" if len(band) == 2 else band.upper()
