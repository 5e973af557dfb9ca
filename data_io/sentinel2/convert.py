"""Check a fetched image by decoding all of it, and convert it to PNG."""

import hashlib
import os
import shutil
import tempfile
import warnings
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from PIL import Image, ImageFile

from data_io.errors import DecodeError
from data_io.images import files
from data_io.images.png import PngWriter
from data_io.images.raster import Raster
from data_io.images.render import RGB, Rendered

FORMATS = {".jp2": "JPEG2000", ".tif": "TIFF"}

STRIP = 240
"""Rows in a strip."""


class BadImageError(Exception):
    """A fetched file is not the image that it should be; the message is the reason."""


@dataclass(frozen=True)
class Converted:
    """A checked image in a temporary file, synced to disk, for the caller to rename."""

    path: str
    bytes: int
    sha256: str


class NewImage:
    """A new file in `folder` whose name begins with `name`; within `with`, an error removes it."""

    def __init__(self, folder: str | Path, name: str) -> None:
        descriptor, self._path = tempfile.mkstemp(prefix=f"{name}.", suffix=".tmp", dir=folder)
        self.file = os.fdopen(descriptor, "w+b")

    def __enter__(self) -> Self:
        return self

    def finish(self) -> Converted:
        """Sync what was written to disk; its size and hash."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.seek(0)
        digest = hashlib.file_digest(self.file, "sha256").hexdigest()
        os.fchmod(self.file.fileno(), 0o644)
        return Converted(self._path, os.fstat(self.file.fileno()).st_size, digest)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.file.close()
        finally:
            if kind is not None:
                Path(self._path).unlink(missing_ok=True)


def allow_large_scenes() -> None:
    """Let Pillow open images of 10980 x 10980 pixels, and make it refuse truncated files."""
    Image.MAX_IMAGE_PIXELS = files.MAX_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def convert(source: str, suffix: str, folder: str, name: str, side: int, keep: bool) -> Converted:
    """Decode all of `source` and check that it is 8-bit RGB with `side` pixels along each side.

    The result is a new file in `folder` whose name begins with `name`: a PNG of `side` x `side` pixels or, if
    `keep`, the same bytes as `source`. An image of 20 or 10 m is decoded and written in strips, so that it is
    never whole in memory.

    Raises BadImageError with the reason, and OSError when it cannot be written.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(source, formats=[FORMATS[suffix]])
    except Exception as error:  # decoders raise all kinds for broken bytes
        with Path(source).open("rb") as file:
            head = file.read(512).lstrip()
        what = "an XML or HTML document" if head.startswith(b"<") else "not a readable image"
        raise BadImageError(f"it is {what} instead of a {FORMATS[suffix]} file") from error
    with image:
        if image.size != (side, side):
            width, height = image.size
            raise BadImageError(f"it has {width} x {height} pixels, not {side} x {side}")
        if image.mode != "RGB":
            raise BadImageError(f"its pixels are {image.mode}, not RGB")
        with NewImage(folder, name) as new:
            _decode(image, Path(source), None if keep else new.file)
            if keep:
                with Path(source).open("rb") as original:
                    shutil.copyfileobj(original, new.file)
            return new.finish()


def _decode(image: Image.Image, source: Path, png: BinaryIO | None) -> None:
    """Decode all of an image and, if `png` is given, write it there."""
    try:
        strips = files.open_strips(image, source)
    except DecodeError as error:
        raise BadImageError(f"it cannot be decoded ({error})") from error
    if strips:
        with closing(strips):
            _decode_strips(Rendered(strips, RGB, None), png)
        return
    try:
        image.load()
    except Exception as error:
        raise BadImageError(f"it cannot be decoded ({error})") from error
    if png:
        image.save(png, "PNG", compress_level=1)


def _decode_strips(strips: Raster, png: BinaryIO | None) -> None:
    writer = PngWriter(png, strips.height, strips.width) if png else None
    for top in range(0, strips.height, STRIP):
        try:
            rows = strips.rows(top, min(top + STRIP, strips.height))
        except DecodeError as error:
            raise BadImageError(f"it cannot be decoded ({error})") from error
        if writer:
            writer.write(rows)
    if writer:
        writer.finish()
