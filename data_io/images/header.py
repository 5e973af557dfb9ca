"""What is known of an image before its pixels are read; free of numpy and Pillow."""

from dataclasses import dataclass

KINDS = "PNG, JPEG, TIFF, JPEG 2000, WebP, BMP or PNM"
"""The kinds of files that are read, as messages name them."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are read.

    height, width: in pixels. lacks: why it cannot be shown without settings, and which ones to give; None if
    it can. reading: what else than decoding makes its pixels, such as a mask; empty for plain images. It
    joins the digest, so that a change of the reading changes the hash.
    """

    height: int
    width: int
    lacks: str | None = None
    reading: str = ""
