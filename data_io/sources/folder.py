"""A folder of image files, searched together with its subfolders."""

from pathlib import Path

from data_io.errors import DataError
from data_io.sources import ImageSource, SourceImage, path_of
from data_io.sources.file import SUFFIXES, FileImage


class Source(ImageSource):
    """Any folder that no other kind of source claims."""

    catch_all = True

    @classmethod
    def claims(cls, source: str) -> bool:
        return path_of(source).is_dir()

    def list_images(self) -> list[SourceImage]:
        return images_under(path_of(self.source))


def images_under(root: Path) -> list[SourceImage]:
    """The image files under a folder, named by their paths relative to it. Raises DataError for none."""
    images: list[SourceImage] = [
        FileImage(path.relative_to(root).as_posix(), path) for path in root.rglob("*") if _is_image(path)
    ]
    if not images:
        raise DataError(
            f"the folder {root} holds no PNG, JPEG, TIFF or JP2 image: put some in, or name another"
        )
    return images


def _is_image(path: Path) -> bool:
    # File managers and macOS archives leave files behind whose names begin with a dot.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
