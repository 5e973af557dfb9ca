"""A zip archive of images, which is read as the folder that it would unpack to, without unpacking it."""

import hashlib
import zlib
from dataclasses import dataclass, field
from zipfile import BadZipFile, ZipFile

from data_io.errors import DataError
from data_io.sources import ImageSource, SourceImage, path_of
from data_io.sources._choice import LeftOut, choose
from data_io.sources._product import images_of
from data_io.sources.file import FileImage

MAX_BYTES = 4 << 30
"""Size, unpacked, of the largest member that is read."""

_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, zlib.error)
"""What zipfile raises: RuntimeError for a password, NotImplementedError for an unknown compression."""


@dataclass(frozen=True)
class Member(FileImage):
    """An image that is a member of an archive. Its digest is that of its bytes, as if it were a file."""

    archive: ZipFile = field(kw_only=True, compare=False, repr=False)

    def digest(self) -> str:
        return hashlib.sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        """The bytes of the member. Raises DataError."""
        try:
            if self.archive.getinfo(self.part).file_size > MAX_BYTES:
                raise ValueError("it has more than 4 GiB")
            return self.archive.read(self.part)
        except _BROKEN as error:
            raise DataError(
                f"{self} cannot be read ({error}): unpack the archive and name the folder, or make the "
                "archive again"
            ) from error


class Source(ImageSource):
    """Any file whose name ends in .zip."""

    takes_patterns = True

    @classmethod
    def claims(cls, source: str) -> bool:
        return source.lower().endswith(".zip") and path_of(source).is_file()

    def list_images(self) -> list[SourceImage]:
        path = path_of(self.source)
        try:
            archive = ZipFile(path)
        except _BROKEN as error:
            raise DataError(f"{path} cannot be read as a zip archive ({error}): make it again") from error
        self.left_out = LeftOut()
        names = list(dict.fromkeys(name for name in archive.namelist() if not name.endswith("/")))
        choice = choose(names, self.patterns, in_product=path.stem.lower().endswith(".safe"))

        def find(name: str) -> SourceImage:
            return Member(name, path, name, archive=archive)

        images = images_of(choice, path, find, self.bands)
        self.left_out += choice.left_out
        return images
