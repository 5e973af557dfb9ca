"""Read one image file as 8-bit RGB, whole or by rows, or say in one sentence why it cannot be read."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_io.errors import DataError, DecodeError
from data_io.images.raster import ArrayRaster, Raster

if TYPE_CHECKING:
    from data_io.images.strips import Strips

MAX_PIXELS = 1_000_000_000
"""Enough for a whole Sentinel-2 scene (10980 x 10980), but not for a decompression bomb."""

WHOLE_PIXELS = 1 << 24
"""Images up to this size are decoded whole, which takes Pillow 10 bytes a pixel; larger ones in strips."""

FORMATS = ("PNG", "JPEG", "TIFF", "JPEG2000")

# What Pillow's decoders raise for broken files.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error, zlib.error)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image in pixels, from its header. Raises DataError as `decode` does."""
    with _open(path) as image:
        return image.height, image.width


def decode(path: Path | str, content: bytes | None = None) -> NDArray[np.uint8]:
    """The first frame of an image as (height, width, 3) uint8.

    content: the bytes of an image that has no file of its own, such as the member of an archive; `path` is
        then only its name in messages.

    Grey images get three equal channels; fully transparent pixels become (0, 0, 0), which means nodata.

    Raises DataError when the file is missing, broken or truncated, or has more than 8 bits a channel or more
    than a gigapixel.
    """
    with _open(path, content) as image:
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        rgba = np.asarray(image.convert("RGBA"))
        return np.where(rgba[:, :, 3:] == 0, np.uint8(0), rgba[:, :, :3])


def open_raster(path: Path) -> Raster:
    """The pixels that `decode` returns, as a Raster.

    A plain RGB image of more than WHOLE_PIXELS in JP2, TIFF or PNG is never whole in memory; every other
    image is decoded at once. Raises DataError as `decode` does, here or in `rows`.
    """
    with _open(path) as image:
        strips = open_strips(image, path)
    return _FileStrips(strips, path) if strips else ArrayRaster(decode(path))


def open_strips(image: Image.Image, path: Path) -> "Strips | None":
    """A reader of `path` by rows, for the caller to close; None unless the image is large and plain RGB.

    image: `path` opened by Pillow. Raises DecodeError.
    """
    if image.width * image.height <= WHOLE_PIXELS:
        return None
    from data_io.images.strips import Strips, matches_pillow  # GDAL takes 60 MB and a third of a second

    if not matches_pillow(image, path):
        return None
    strips = Strips(path, str(image.format))
    if strips.is_plain_rgb:
        return strips
    strips.close()
    return None


class _FileStrips:
    """Strips whose errors are DataErrors that name the file."""

    def __init__(self, strips: "Strips", path: Path) -> None:
        self._strips, self._path = strips, path
        self.height, self.width = strips.height, strips.width
        self.close = strips.close

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        try:
            return self._strips.rows(top, bottom)
        except DecodeError as error:
            raise DataError(_unreadable(self._path, error)) from error


def _unreadable(path: Path | str, error: BaseException) -> str:
    return f"{path} cannot be read ({error}): replace the file, or take it out of the source"


@contextmanager
def _open(path: Path | str, content: bytes | None = None) -> Iterator[Image.Image]:
    usual_limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata in files whose pixels are sound.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
                _refuse_deep(image, path, content)
                yield image
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path} has more than a gigapixel: cut it into smaller images first") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is not a readable PNG, JPEG, TIFF or JP2 image: replace it, or take it out of the source"
        ) from error
    except _BROKEN as error:
        raise DataError(_unreadable(path, error)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual_limit


def _refuse_deep(image: Image.Image, path: Path | str, content: bytes | None) -> None:
    if image.mode.startswith(("I", "F")) or _bits_per_channel(image, path, content) > 8:
        raise DataError(
            f"{path} has more than 8 bits a channel: convert it to 8-bit RGB with a stretch of your choice"
        )


def _bits_per_channel(image: Image.Image, path: Path | str, content: bytes | None) -> int:
    # Pillow opens 16-bit colour as "RGB" and silently keeps the high bytes, which leaves Sentinel-2's
    # values (0..10000) almost black; only the file's own header gives the depth.
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(258, (1,))))  # type: ignore[attr-defined]
    if image.format == "PNG":
        return 16 if any(str(tile[3]).endswith(";16B") for tile in image.tile) else 8  # type: ignore[attr-defined]
    if image.format == "JPEG2000":
        with Path(path).open("rb") if content is None else BytesIO(content) as file:
            head = file.read(1 << 16)
        start = head.find(b"\xff\x4f\xff\x51")  # SOC and SIZ; the first channel's Ssiz is 42 bytes further
        return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8
    return 8
