"""Read one image file as 8-bit RGB, or say in one sentence why not."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_io.errors import DataError

MAX_PIXELS = 1_000_000_000
"""Room for a whole Sentinel-2 scene (10980 x 10980), not for a decompression bomb."""

FORMATS = ("PNG", "JPEG", "TIFF", "JPEG2000")

# What Pillow's decoders raise on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error, zlib.error)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image in pixels, from its header. Raises DataError like `decode`."""
    with _opened(path) as image:
        return image.height, image.width


def decode(path: Path) -> NDArray[np.uint8]:
    """The first frame of an image as (height, width, 3) uint8.

    Grey images get three equal channels; fully transparent pixels become (0, 0, 0), which is nodata.

    Raises DataError when the file is missing, broken or cut short, has more than 8 bits a channel, or more
    than a gigapixel.
    """
    with _opened(path) as image:
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        rgba = np.asarray(image.convert("RGBA"))
        return np.where(rgba[:, :, 3:] == 0, np.uint8(0), rgba[:, :, :3])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    usual_limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings():
            # Odd metadata makes Pillow warn about files whose pixels are sound.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _refuse_deep(image, path)
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
        raise DataError(
            f"{path} cannot be read ({error}): replace the file, or take it out of the source"
        ) from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual_limit


def _refuse_deep(image: Image.Image, path: Path) -> None:
    if image.mode.startswith(("I", "F")) or _bits_per_channel(image, path) > 8:
        raise DataError(
            f"{path} has more than 8 bits a channel: convert it to 8-bit RGB with a stretch of your choice"
        )


def _bits_per_channel(image: Image.Image, path: Path) -> int:
    # Pillow opens 16-bit colour as "RGB" and silently keeps the high bytes, which leaves Sentinel-2's
    # numbers (0..10000) almost black; only the files' own headers tell.
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(258, (1,))))  # type: ignore[attr-defined]
    if image.format == "PNG":
        return 16 if any(str(tile[3]).endswith(";16B") for tile in image.tile) else 8  # type: ignore[attr-defined]
    if image.format == "JPEG2000":
        with path.open("rb") as file:
            head = file.read(1 << 16)
        start = head.find(
            b"\xff\x4f\xff\x51"
        )  # SOC and SIZ markers; Ssiz of the first channel is 42 bytes on
        return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8
    return 8
