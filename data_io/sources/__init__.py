"""Kinds of image sources, one module each: the bundled sample, a folder, one image, a zip, a stack in a .npy.

To add a kind, write `data_io/sources/<name>.py` with a class `Source` that subclasses `ImageSource`; it is
found by listing this folder, so nothing else has to be edited. (Modules whose names begin with an underscore
are left alone.) What it must keep:

- `claims` decides quickly, from the source string and the file system alone.
- `list_images` returns the same images in every process, each with a name of its own. Names and digests
  enter the content hash, so neither may depend on where the source lies on this machine.
- An image's `digest` changes whenever its pixels do.
- A user's mistake is a `DataError` of one sentence: what is wrong, where, and how to correct it.
- Importing the module is cheap: load numpy, Pillow and the like inside the methods that need them.
"""

import hashlib
import os
import pkgutil
import re
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.images.header import KINDS, Header
from data_io.reading import parse_bands, printable
from data_io.sources._choice import LeftOut, Patterns

if TYPE_CHECKING:
    from data_io.images.raster import BandRaster, Raster

__all__ = [
    "ImageSource",
    "LeftOut",
    "Listing",
    "Patterns",
    "SourceImage",
    "find_images",
    "find_source",
    "list_images",
    "path_of",
]

ROWS = 256
"""Rows that `SourceImage.digest` reads at a time."""


@dataclass(frozen=True)
class SourceImage(ABC):
    """One image of a source.

    name: identifies the image within its source, with forward slashes as separators. A Sentinel-2 square in
        it says which ground the image shows (`data_io.tiles.ground.ground_of`).
    file: the file that holds the image. As long as it is unchanged, the digest is not computed again.
    part: the part of `file` that the image is, such as a member of an archive; empty for all of the file.
    """

    name: str
    file: Path
    part: str = ""

    def __str__(self) -> str:
        """The image as messages name it."""
        return str(printable(f"{self.file}[{self.part}]" if self.part else str(self.file)))

    @abstractmethod
    def open(self) -> "Raster":
        """The pixels as 8-bit RGB, whole or by rows; the caller closes it. Raises DataError.

        `data_io.images` has what is needed: `open_raster(path)` for a file, and `ArrayRaster(pixels)` for
        pixels in memory, as `decode(name, content)` gives for the bytes of a PNG, JPEG, TIFF or JPEG 2000.
        """

    def open_bands(self) -> "BandRaster":
        """All bands, as numbers of any type; the caller closes it. Here: the three that `open` gives.

        Override it where there may be other bands, or more than 8 bits. Raises DataError.
        """
        from data_io.images.raster import RasterBands

        return RasterBands(self.open())

    def header(self) -> Header:
        """The size, and what else is known before the pixels are read; override it where a file says sooner.

        Raises DataError.
        """
        with closing(self.open()) as raster:
            return Header(raster.height, raster.width)

    def origin(self) -> tuple[float, float, float, float] | None:
        """Where it lies, if it is georeferenced: y and x in pixels, and a pixel's height and width."""
        return None

    def files(self) -> tuple[Path, ...]:
        """All files that hold the image; as long as they are unchanged, the digest holds."""
        return (self.file,)

    def digest(self) -> str:
        """SHA-256, in hex, of what decides the pixels: here of the size and the pixels themselves.

        Override it where hashing stored bytes is cheaper. Raises DataError or OSError.
        """
        with closing(self.open()) as raster:
            sha256 = hashlib.sha256(f"{raster.height} {raster.width}\n".encode())
            for top in range(0, raster.height, ROWS):
                sha256.update(raster.rows(top, min(top + ROWS, raster.height)).tobytes())
        return sha256.hexdigest()


class ImageSource(ABC):
    """A source of images, named by `source`, the string that the user gave."""

    catch_all = False
    """True for a kind that takes whatever no other kind claims; it is asked after the others."""

    credit: str | None = None
    """What the licence asks to be shown wherever pictures made from the images are shown."""

    takes_patterns = False
    """True for a kind that obeys `self.patterns` itself; for others the images' names are compared."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.patterns = Patterns()
        """Which images are asked for."""
        self.bands: tuple[int | str, ...] | None = None
        """The bands that are asked for, for a kind whose images have them in files of their own."""
        self.left_out = LeftOut()
        """What `list_images` did not take, by reason."""

    @classmethod
    @abstractmethod
    def claims(cls, source: str) -> bool:
        """Whether a source string names a source of this kind."""

    @abstractmethod
    def list_images(self) -> list[SourceImage]:
        """The images, in any order. Raises DataError when there are none, or they cannot be listed."""


def find_source(source: str) -> ImageSource:
    """The source that a source string names.

    Raises DataError when no kind of source claims it.
    """
    try:
        for kind in _kinds():
            if kind.claims(source):
                return kind(source)
    except OSError as error:
        raise DataError(f"{path_of(source)} cannot be read ({error.strerror}): check the path") from error
    raise DataError(f"there is no file or folder {path_of(source)}: check the path, or use 'sample'")


@dataclass(frozen=True)
class Listing:
    """The images of a source, sorted by name, and what was left out."""

    images: tuple[SourceImage, ...]
    left_out: LeftOut


def find_images(config: DataConfig) -> Listing:
    """The images that the settings ask for.

    Raises DataError when there is no such source, no image in it, or two images have the same name.
    """
    source = find_source(config.source)
    source.patterns = Patterns.of(config.include, config.exclude)
    source.bands = parse_bands(config.bands)
    images, left_out = source.list_images(), source.left_out
    if not source.takes_patterns:
        refused = [(image, source.patterns.refusal(image.name)) for image in images]
        left_out += LeftOut((reason, "") for _, reason in refused if reason)
        images = [image for image, reason in refused if not reason]
    if not images:
        lines = f" ({'; '.join(left_out.lines())})" if left_out else ""
        raise DataError(f"{config.source} holds no {KINDS} image{lines}: put some in, or name another source")
    images.sort(key=lambda image: image.name)
    name, count = Counter(image.name for image in images).most_common(1)[0]
    if count > 1:
        raise DataError(f"{config.source} holds {count} images named {name}: rename all but one of them")
    return Listing(tuple(images), left_out)


def list_images(source: str) -> list[SourceImage]:
    """The images of a source, as `find_images` gives them without any other setting."""
    return list(find_images(DataConfig(source=source)).images)


def path_of(source: str) -> Path:
    """A source string as a path, with `~` expanded where the home folder of that user is known.

    A name whose bytes are not UTF-8 may be given as `printable` writes it.
    """
    try:
        path = Path(source).expanduser()
    except RuntimeError:
        path = Path(source)
    if "\\x" in source and not os.path.lexists(path):
        as_bytes = re.sub(
            rb"\\x([0-9a-f]{2})", lambda code: bytes.fromhex(code[1].decode()), os.fsencode(path)
        )
        return Path(os.fsdecode(as_bytes))
    return path


def _kinds() -> list[type[ImageSource]]:
    # Listed at each call, as a plugin may add its folder to __path__ at any time.
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    kinds: list[type[ImageSource]] = []
    for name in names:
        module = import_module(f"{__name__}.{name}")
        if not hasattr(module, "Source"):
            raise DataError(
                f"{module.__file__} does not define Source: the docstring of {__name__} says what it must"
            )
        kinds.append(module.Source)
    return sorted(kinds, key=lambda kind: (kind.catch_all, kind.__module__))
