"""A folder of image files, searched together with its subfolders and those that are linked."""

import os
from collections.abc import Iterator
from pathlib import Path

from data_io.errors import DataError
from data_io.reading import printable
from data_io.sources import ImageSource, SourceImage, path_of
from data_io.sources._choice import LeftOut, choose
from data_io.sources._product import images_of
from data_io.sources.file import FileImage

BROKEN_LINK = "links to nothing, or to themselves"
CLOSED = "folders that may not be opened"
TWICE = "links to folders that are searched anyway"


class Source(ImageSource):
    """Any folder that no other kind of source claims."""

    catch_all = True
    takes_patterns = True

    @classmethod
    def claims(cls, source: str) -> bool:
        return path_of(source).is_dir()

    def list_images(self) -> list[SourceImage]:
        root = path_of(self.source)
        self.left_out = LeftOut()
        files: dict[str, Path] = {}
        for path in files_under(root, self.left_out):
            name = str(printable(path.relative_to(root).as_posix()))
            if name in files:
                raise DataError(f"two files in {root} are both written {name}: rename one of them")
            files[name] = path
        in_product = any(part.lower().endswith(".safe") for part in root.absolute().parts)
        choice = choose(files, self.patterns, in_product=in_product)

        def find(name: str) -> SourceImage:
            return FileImage(name, files[name])

        images = images_of(choice, root, find, self.bands)
        self.left_out += choice.left_out
        return images


def images_under(root: Path) -> list[SourceImage]:
    """The image files under a folder, named by their paths relative to it."""
    return Source(str(root)).list_images()


def files_under(root: Path, left_out: LeftOut) -> Iterator[Path]:
    """All files, those behind links to files and folders too; every folder is searched once.

    The folders that lie there come before the linked ones, and these in the order of their names, so that the
    same files have the same names in every process. left_out: counts what cannot be searched.
    """
    folders, links, seen = [root], list[Path](), set[tuple[int, int]]()
    while folders or links:
        linked = not folders
        folder = links.pop(0) if linked else folders.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            left_out[CLOSED, ""] += 1
            continue
        if (status.st_dev, status.st_ino) in seen:
            left_out[TWICE, ""] += linked
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = folder / entry.name
            if entry.is_file(follow_symlinks=False):
                yield path
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif path.is_dir():
                links.append(path)
                links.sort()
            elif path.is_file():
                yield path
            elif entry.is_symlink():
                left_out[BROKEN_LINK, ""] += 1
