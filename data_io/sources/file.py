"""One image file: a PNG, JPEG, TIFF or JPEG 2000."""

import hashlib
from typing import TYPE_CHECKING

from data_io.errors import DataError
from data_io.sources import ImageSource, SourceImage, path_of

if TYPE_CHECKING:
    from data_io.images.raster import Raster

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".jp2", ".j2k"})


class FileImage(SourceImage):
    """An image that has a file to itself. Its digest is that of the file's bytes."""

    def open(self) -> "Raster":
        from data_io.images.files import open_raster

        return open_raster(self.file)

    def size(self) -> tuple[int, int]:
        from data_io.images.files import read_size

        return read_size(self.file)

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
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path} is not a PNG, JPEG, TIFF or JP2 image: convert it, or name another file")
        return [FileImage(path.name, path)]
