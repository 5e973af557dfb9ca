"""What is known of an image before its pixels are read; free of numpy and Pillow."""

from dataclasses import dataclass

KINDS = "PNG, JPEG, TIFF, JPEG 2000, WebP, BMP or PNM"
"""The kinds of files that are read, as messages name them."""


@dataclass(frozen=True)
class Header:
    """Size and kind of an image.

    height, width: in pixels. reading: what else than decoding makes its pixels, such as a mask; empty for
    plain images. It joins the digest, so that a change of the reading changes the hash. bands, dtype: the
    number of bands, and numpy's name of the type of their values. is_picture: whether it is known which bands
    show the image.
    """

    height: int
    width: int
    reading: str = ""
    bands: int = 3
    dtype: str = "uint8"
    is_picture: bool = True

    @property
    def lacks(self) -> str | None:
        """Why the image cannot be shown without settings, and which ones to give; None if it can."""
        what = f"has {self.bands} band{'s' * (self.bands != 1)} of {self.dtype}"
        if self.dtype.startswith(("complex", "bool")):
            return f"{what}, which cannot be shown: convert it to real numbers, or take it out of the source"
        bands = f"data.bands, such as {example_of(self.bands)} (--bands)"
        stretch = "data.stretch, such as 2,98 for percentiles or 0,3000 for values (--stretch)"
        given = " and ".join([bands] * (not self.is_picture) + [stretch] * (self.dtype != "uint8"))
        if not given:
            return None
        return f"{what}: give {given}, convert it to 8-bit RGB, or take it out of the source"


def example_of(bands: int) -> str:
    """An example of bands to show, of an image with so many."""
    return "4,3,2" if bands > 3 else "1"
