"""Where images come from: the bundled scenes, a folder, a single file."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from data_io.errors import DataError

SAMPLE = "sample"
SAMPLE_FOLDER = Path(__file__).parents[1] / "scenes"
SAMPLE_CREDIT = "Contains modified Copernicus Sentinel data (2015-2016, 2017)"
"""The licence asks that it goes wherever pictures made from the sample scenes go."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".jp2", ".j2k"})

# Zone 1..60, latitude band C..X and the 100 km square's letters; MGRS leaves out I and O.
_MGRS = re.compile(
    r"(?<![A-Za-z0-9])T?(0?[1-9]|[1-5][0-9]|60)([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?![A-Za-z0-9])"
)


@dataclass(frozen=True)
class SourceImage:
    """One image file. `name` is its path relative to the source, with forward slashes."""

    name: str
    path: Path


def list_images(source: str) -> list[SourceImage]:
    """The images of a source, sorted by name.

    Raises DataError when there is no such file or folder, or no image in it.
    """
    root = SAMPLE_FOLDER if source == SAMPLE else Path(source).expanduser()
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise DataError(f"{root} is not a PNG, JPEG, TIFF or JP2 image: convert it, or name another file")
        return [SourceImage(root.name, root)]
    if not root.is_dir():
        raise DataError(f"there is no file or folder {root}: check the path, or use {SAMPLE!r}")
    images = [
        SourceImage(path.relative_to(root).as_posix(), path) for path in root.rglob("*") if _wanted(path)
    ]
    if not images:
        raise DataError(
            f"the folder {root} holds no PNG, JPEG, TIFF or JP2 image: put some in, or name another"
        )
    return sorted(images, key=lambda image: image.name)


def place_of(name: PurePath | str) -> str:
    """The ground that an image shows, told from its name relative to the source.

    Images of one place never end up in different splits, block by block: two dates of one Sentinel-2 square
    show the same fields. A name with an MGRS square as a token (`32ULA`, `T33UUU`) gives that square; any
    other name gives itself without its suffix, so that every image is a place of its own.
    """
    path = PurePath(name)
    square = _MGRS.search(path.stem)
    if square:
        zone, letters = square.groups()
        return f"{int(zone):02d}{letters}"
    return path.with_suffix("").as_posix()


def _wanted(path: Path) -> bool:
    # Names that begin with a dot are the droppings of file managers and of macOS archives.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
