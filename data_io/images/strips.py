"""Which large images GDAL may read in strips of rows, so that they are never whole in memory."""

from pathlib import Path

from PIL import Image

from data_io.images.pillow import is_upright

FORMATS = frozenset({"JPEG2000", "TIFF", "PNG"})
"""Pillow's formats that GDAL reads in part; a JPEG is always decoded whole."""

LOSSLESS = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd"})
"""TIFF compressions, by Pillow's names, for which any two decoders give the same pixels."""

_SYCC = 18  # enumerated colour space of a JP2 whose pixels are luminance and chrominance


def matches_pillow(image: Image.Image, path: Path) -> bool:
    """Whether GDAL and Pillow give the same pixels: stored as RGB, in a coding that leaves no choice.

    image: `path` opened by Pillow.
    """
    if image.mode != "RGB" or image.has_transparency_data or image.format not in FORMATS:
        return False
    if not is_upright(image):
        return False
    if image.format == "TIFF":
        return image.info.get("compression") in LOSSLESS
    if image.format == "PNG":
        return not image.info.get("interlace")
    with path.open("rb") as file:
        head = file.read(1 << 16)
    box = head.find(b"colr\x01")  # followed by precedence, approximation, and the colour space in 4 bytes
    return box < 0 or int.from_bytes(head[box + 7 : box + 11], "big") != _SYCC
