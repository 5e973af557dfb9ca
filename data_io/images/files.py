"""Read one image file as 8-bit RGB, whole or by rows, or say in one sentence why it cannot be read."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_io.errors import DataError
from data_io.images import pillow
from data_io.images.header import Header
from data_io.images.raster import ArrayRaster, BandRaster, Raster, RasterBands
from data_io.images.render import RGB, Rendered, as_it_stands, header_of
from data_io.images.strips import matches_pillow

if TYPE_CHECKING:
    from data_io.images.gdal import GdalBands

WHOLE_PIXELS = 1 << 24
"""Images up to this size are decoded whole, which takes Pillow 10 bytes a pixel; larger ones in strips."""

MAX_PIXELS = pillow.MAX_PIXELS

REMEDY = "replace the file, take it out of the source, or go on without it by data.skip_bad (--skip-bad)"


def inspect(path: Path | str, content: bytes | None = None) -> Header:
    """The header of a file, or of the bytes in its stead. Raises DataError when it cannot be read."""
    with _opened(path, content) as (image, how):
        if image:
            return Header(*pillow.size_of(image), reading=how)
    with closing(_gdal_bands(path, content)) as bands:
        return header_of(bands)


def decode(path: Path | str, content: bytes | None = None) -> NDArray[np.uint8]:
    """The first frame of an image as (height, width, 3) uint8, turned as the file says.

    content: the bytes of an image that has no file of its own, such as the member of an archive; `path` is
        then only its name in messages.

    Grey images get three equal channels; pixels that are wholly transparent, or that the file's mask or its
    tag for nodata leaves out, become (0, 0, 0), which means nodata.

    Raises DataError when the file is missing, broken or truncated, has more than a gigapixel, or bands of
    which it is not known how to show them.
    """
    with _opened(path, content) as (image, how):
        if image and not how.startswith("bands"):
            return _decoded(image, how, path, content)
    with closing(as_it_stands(_gdal_bands(path, content), str(path))) as raster:
        return raster.rows(0, raster.height)


def open_raster(path: Path | str, content: bytes | None = None) -> Raster:
    """The pixels that `decode` returns, as a Raster.

    A plain RGB image of more than WHOLE_PIXELS in JP2, TIFF or PNG, or one that GDAL reads, is never whole in
    memory; every other image is decoded at once. Raises DataError as `decode` does, here or in `rows`.
    """
    with _opened(path, content) as (image, how):
        if image and not how.startswith("bands"):
            strips = open_strips(image, Path(path)) if content is None and not how else None
            if strips:
                return Rendered(_FileBands(strips, path), RGB, None)
            return ArrayRaster(_decoded(image, how, path, content))
    return as_it_stands(_gdal_bands(path, content), str(path))


def open_bands(path: Path | str, content: bytes | None = None) -> BandRaster:
    """The bands of an image, of any number and type. Raises DataError, here or in `read`."""
    with _opened(path, content) as (_, how):
        gdal_reads = how.startswith("bands")
    return _gdal_bands(path, content) if gdal_reads else RasterBands(open_raster(path, content))


def open_strips(image: Image.Image, path: Path) -> "GdalBands | None":
    """The bands of `path`, read by rows, for the caller to close; None unless it is large and plain RGB.

    image: `path` opened by Pillow. Raises DecodeError, here or in `read`.
    """
    if image.width * image.height <= WHOLE_PIXELS or not matches_pillow(image, path):
        return None
    from data_io.images.gdal import GdalBands  # GDAL takes 60 MB and a third of a second

    bands = GdalBands(path)
    if bands.is_plain_rgb:
        return bands
    bands.close()
    return None


class _FileBands:
    """Bands whose errors are DataErrors that name the file."""

    def __init__(self, bands: BandRaster, path: Path | str) -> None:
        self._bands, self._path = bands, path
        self.height, self.width = bands.height, bands.width
        self.names, self.dtype, self.picture = bands.names, bands.dtype, bands.picture
        self.close = bands.close

    def read(self, bands: Sequence[int], top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        with _sentences(self._path):
            return self._bands.read(bands, top, bottom)


def _reading(image: Image.Image, path: Path | str, content: bytes | None) -> str:
    """How the pixels of an image that Pillow decodes come about; see Header.

    Those that begin with "bands" are read by GDAL.
    """
    if pillow.marks_nodata(image) or (pillow.has_second_image(image) and _has_mask(path, content)):
        gdal_reads = pillow.is_upright(image) and image.mode in ("L", "RGB", "RGBA")
        return "bands, mask" if gdal_reads else "mask"
    if image.mode == "RGBA":
        from data_io.images.gdal import is_alpha

        values = np.moveaxis(np.asarray(image), 2, 0)
        if not is_alpha(values[3], values[:3]):
            gdal_reads = pillow.is_upright(image) and image.format in ("TIFF", "PNG", "JPEG2000")
            return "bands, no alpha" if gdal_reads else "no alpha"
    return "turned" if pillow.is_turned(image) else ""


def _has_mask(path: Path | str, content: bytes | None) -> bool:
    from data_io.images.gdal import has_mask

    return has_mask(Path(path), content)


def _decoded(image: Image.Image, how: str, path: Path | str, content: bytes | None) -> NDArray[np.uint8]:
    if how != "mask":
        return pillow.pixels_of(image, clear=how != "no alpha")
    from data_io.images.gdal import mask_of

    kept = pillow.turned_like(image, mask_of(Path(path), content))
    return np.where(kept[:, :, None], pillow.pixels_of(image), np.uint8(0))


def _gdal_bands(path: Path | str, content: bytes | None) -> BandRaster:
    from data_io.images.gdal import GdalBands

    with _sentences(path):
        bands = GdalBands(Path(path), content)
        if bands.height * bands.width <= MAX_PIXELS:
            return _FileBands(bands, path)
        bands.close()
    raise DataError(_too_large(path))


@contextmanager
def _opened(path: Path | str, content: bytes | None) -> Iterator[tuple[Image.Image | None, str]]:
    """The image as Pillow opens it, or None where only GDAL can read it, and how its pixels come about.

    What the decoders raise, here or within `with`, becomes a DataError.
    """
    with _sentences(path), ExitStack() as stack:
        image = None
        with suppress(UnidentifiedImageError):
            image = stack.enter_context(pillow.opened(path, content))
            if not pillow.suits(image, path, content):
                image = None
        yield image, _reading(image, path, content) if image else "bands"


@contextmanager
def _sentences(path: Path | str) -> Iterator[None]:
    """Turns what the decoders raise into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path)) from error
    except pillow.BROKEN as error:
        raise DataError(f"{path} cannot be read ({error}): {REMEDY}") from error


def _too_large(path: Path | str) -> str:
    return f"{path} has more than a gigapixel: cut it into smaller images first"
