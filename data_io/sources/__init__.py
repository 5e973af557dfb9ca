"""Kinds of image sources, one module each: the bundled sample, a folder, a single image file.

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
import pkgutil
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from data_io.errors import DataError

if TYPE_CHECKING:
    from data_io.images.raster import Raster

ROWS = 256
"""Rows that `SourceImage.digest` reads at a time."""


@dataclass(frozen=True)
class SourceImage(ABC):
    """One image of a source.

    name: identifies the image within its source, with forward slashes as separators. A Sentinel-2 square in
        it says which ground the image shows (`data_io.tiles.splits.place_of`).
    file: the file that holds the image. As long as it is unchanged, the digest is not computed again.
    part: the part of `file` that the image is, such as a member of an archive; empty for all of the file.
    """

    name: str
    file: Path
    part: str = ""

    def __str__(self) -> str:
        """The image as messages name it."""
        return f"{self.file}[{self.part}]" if self.part else str(self.file)

    @abstractmethod
    def open(self) -> "Raster":
        """The pixels as 8-bit RGB, whole or by rows; the caller closes it. Raises DataError.

        `data_io.images` has what is needed: `open_raster(path)` for a file, and `ArrayRaster(pixels)` for
        pixels in memory, as `decode(name, content)` gives for the bytes of a PNG, JPEG, TIFF or JPEG 2000.
        """

    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; override it where a header gives them sooner. Raises DataError."""
        with closing(self.open()) as raster:
            return raster.height, raster.width

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

    def __init__(self, source: str) -> None:
        self.source = source

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


def list_images(source: str) -> list[SourceImage]:
    """The images of a source, sorted by name.

    Raises DataError when there is no such source, no image in it, or two images have the same name.
    """
    images = sorted(find_source(source).list_images(), key=lambda image: image.name)
    if not images:
        raise DataError(f"{source} holds no image: put some in, or name another source")
    name, count = Counter(image.name for image in images).most_common(1)[0]
    if count > 1:
        raise DataError(f"{source} holds {count} images named {name}: rename all but one of them")
    return images


def path_of(source: str) -> Path:
    """A source string as a path, with `~` expanded where the home folder of that user is known."""
    try:
        return Path(source).expanduser()
    except RuntimeError:
        return Path(source)


def _kinds() -> list[type[ImageSource]]:
    # Listed at each call, as a plugin may add its folder to __path__ at any time.
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    kinds: list[type[ImageSource]] = [import_module(f"{__name__}.{name}").Source for name in names]
    return sorted(kinds, key=lambda kind: (kind.catch_all, kind.__module__))
