"""One image file of any kind that `data_io.images` reads."""

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from data_io.errors import DataError
from data_io.images.header import KINDS, Header
from data_io.sources import ImageSource, SourceImage, path_of
from data_io.sources._choice import SUFFIXES

if TYPE_CHECKING:
    from data_io.images.raster import BandRaster, Raster

GEOREFERENCED = frozenset({".tif", ".tiff", ".jp2"})
ARCHIVES = frozenset({".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})


class FileImage(SourceImage):
    """An image that has a file to itself. Its digest is that of the file's bytes."""

    def content(self) -> bytes | None:
        """The bytes of an image that is only a part of its file. Raises DataError."""
        return None

    def open(self) -> "Raster":
        from data_io.images.files import open_raster

        return open_raster(str(self) if self.part else self.file, self.content())

    def open_bands(self) -> "BandRaster":
        from data_io.images.files import open_bands

        return open_bands(str(self) if self.part else self.file, self.content())

    def header(self) -> Header:
        from data_io.images.files import inspect

        return inspect(str(self) if self.part else self.file, self.content())

    def origin(self) -> tuple[float, float, float, float] | None:
        if PurePath(self.name).suffix.lower() not in GEOREFERENCED:
            return None
        from data_io.images.gdal import origin_of

        return origin_of(self.file, self.content())

    def digest(self) -> str:
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Source(ImageSource):
    """Any file that no other kind of source claims."""

    catch_all = True

    @classmethod
    def claims(cls, source: str) -> bool:
        return path_of(source).is_file()

    def list_images(self) -> list[SourceImage]:
        path = path_of(self.source)
        if path.suffix.lower() in ARCHIVES:
            raise DataError(
                f"{path} is an archive that is not read: unpack it and name the folder, or make a .zip"
            )
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"{path} is not a {KINDS} image, a .zip or a .npy: convert it, or name another file"
            )
        return [FileImage(path.name, path)]
