"""What Pillow knows of an image before it is decoded: depth, orientation, transparency, marks of nodata."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_PIXELS = 1_000_000_000
"""Enough for a whole Sentinel-2 scene (10980 x 10980), but not for a decompression bomb."""

FORMATS = ("PNG", "JPEG", "TIFF", "JPEG2000", "WEBP", "BMP", "DIB", "PPM")

BROKEN = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error, zlib.error)
"""What Pillow's decoders raise for broken files."""

FOREIGN = frozenset({"webp", "jpeg2000"})
"""TIFF compressions, by Pillow's names, that it opens and cannot decode."""

_tiff_log = logging.getLogger("PIL.TiffImagePlugin")

_BITS, _ORIENTATION, _SAMPLES, _PLANAR, _NODATA = 258, 274, 277, 284, 42113  # tags of TIFF and EXIF


@contextmanager
def opened(path: Path | str, content: bytes | None = None) -> Iterator[Image.Image]:
    """A file, or the bytes in its stead. Raises what Pillow raises; whole scenes are no bombs."""
    usual_limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    usual_level = _tiff_log.level
    _tiff_log.setLevel(logging.CRITICAL)  # it logs what it cannot read as errors, and GDAL may read it
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata in files whose pixels are sound.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = usual_limit
        _tiff_log.setLevel(usual_level)


def suits(image: Image.Image, path: Path | str, content: bytes | None) -> bool:
    """Whether Pillow decodes this image without a loss: 8 bits, all bands, in a coding that it knows."""
    if image.mode.startswith(("I", "F")) or _bits_per_channel(image, path, content) > 8:
        return False
    if image.format == "JPEG2000" and image.mode == "LA":
        return False  # any two bands are opened as grey and alpha
    if image.format != "TIFF":
        return True
    tags = image.tag_v2  # type: ignore[attr-defined]
    drops_a_band = image.mode == "L" and tags.get(_SAMPLES, 1) > 1
    fails = image.info.get("compression") in FOREIGN or (image.mode == "LA" and tags.get(_PLANAR) == 2)
    return not drops_a_band and not fails


def size_of(image: Image.Image) -> tuple[int, int]:
    """(height, width) after turning."""
    return (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)


def is_turned(image: Image.Image) -> bool:
    """Whether the file says to turn or mirror its pixels; not for TIFF, which Pillow turns by itself."""
    return _orientation(image) > 1


def pixels_of(image: Image.Image, *, clear: bool = True) -> NDArray[np.uint8]:
    """(height, width, 3), upright; wholly transparent pixels are (0, 0, 0) if `clear`."""
    if is_turned(image):
        image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA"))
    return np.where(clear & (rgba[:, :, 3:] == 0), np.uint8(0), rgba[:, :, :3])


def marks_nodata(image: Image.Image) -> bool:
    """Whether a TIFF's tag names a value for nodata other than 0, which is nodata anyway."""
    if image.format != "TIFF":
        return False
    try:
        return 0 < float(str(image.tag_v2.get(_NODATA, "0")).strip("\0 ")) <= 255  # type: ignore[attr-defined]
    except ValueError:
        return False


def has_second_image(image: Image.Image) -> bool:
    """Whether a TIFF holds another image behind its first, which may be its mask."""
    return image.format == "TIFF" and bool(image.tag_v2.next)  # type: ignore[attr-defined]


def is_upright(image: Image.Image) -> bool:
    """Whether the pixels are stored as they are to be seen, in any format."""
    if image.format == "TIFF":
        return bool(image.tag_v2.get(_ORIENTATION, 1) == 1)  # type: ignore[attr-defined]
    return not is_turned(image)


def turned_like(image: Image.Image, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask that lies as a TIFF is stored, turned as Pillow turns its pixels when it loads them.

    image: not loaded yet, as the tag is gone then.
    """
    exif = Image.Exif()
    exif[_ORIENTATION] = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
    lying = Image.fromarray(mask.astype(np.uint8))
    lying.info["exif"] = exif.tobytes()
    return np.asarray(ImageOps.exif_transpose(lying)) > 0


def _orientation(image: Image.Image) -> int:
    marked = image.format in ("JPEG", "MPO") or {"exif", "Raw profile type exif"} & image.info.keys()
    if image.format == "TIFF" or not marked:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return 1
    return value if value in range(1, 9) else 1


def _bits_per_channel(image: Image.Image, path: Path | str, content: bytes | None) -> int:
    # Pillow opens 16-bit colour as "RGB" and silently keeps the high bytes, which leaves Sentinel-2's
    # values (0..10000) almost black; only the file's own header gives the depth.
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(_BITS, (1,))))  # type: ignore[attr-defined]
    if image.format == "PNG":
        return 16 if any(str(tile[3]).endswith(";16B") for tile in image.tile) else 8  # type: ignore[attr-defined]
    if image.format == "PPM":
        arguments = [tile[3] for tile in image.tile]  # type: ignore[attr-defined]
        return 16 if any(isinstance(part, tuple) and part[-1] > 255 for part in arguments) else 8
    if image.format == "JPEG2000":
        with Path(path).open("rb") if content is None else BytesIO(content) as file:
            head = file.read(1 << 16)
        start = head.find(b"\xff\x4f\xff\x51")  # SOC and SIZ; the first channel's Ssiz is 42 bytes further
        return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8
    return 8
