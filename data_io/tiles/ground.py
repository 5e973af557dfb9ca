"""Which ground an image shows, and to which split its folder gives it, told by its name."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import NamedTuple

# Zone 1..60, latitude band C..X and the 100 km square's letters; MGRS leaves out I and O.
_BARE = r"(?P<zone>0?[1-9]|[1-5][0-9]|60)(?P<letters>[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])"
_SQUARE = f"T?{_BARE}"
_DAY = r"(?:19|20)[0-9]{6}"
_TIME = rf"{_DAY}T[0-9]{{6}}"
_END = r"(?![A-Za-z0-9])"

_PRODUCTS = [
    re.compile(pattern)
    for pattern in (
        rf"{_SQUARE}$",
        rf"T{_BARE}{_END}",  # without the T it may be a date: 20MAR
        rf"{_SQUARE}[_-]{_DAY}",  # what `fetch` writes, and the images in a product
        rf"S2[A-D]_{_SQUARE}_{_DAY}",  # cloud-optimised GeoTIFFs
        rf"S2[A-D]_MSIL[12][A-C]_{_TIME}_N[0-9]{{4}}_R[0-9]{{3}}_{_SQUARE}{_END}",
        rf"L[12][A-C]_{_SQUARE}_A[0-9]{{6}}",  # a granule
        rf"S2[A-D]_(?:OPER|USER)_(?:.*_)?{_SQUARE}{_END}",  # products before 2017
        rf"SENTINEL2[A-D]_{_DAY}(?:.*_)?{_SQUARE}{_END}",
        rf"HLS\.[LS]30\.{_SQUARE}\.[0-9]{{7}}",
    )
]
_PATCH = re.compile(r"_(?:r|row)?([0-9]{1,4})_(?:c|col)?([0-9]{1,4})$")
_PATCH_ALONE = re.compile(
    rf"(S2[A-D]_MSIL[12][A-C]_{_TIME})_([0-9]{{1,4}})_([0-9]{{1,4}})(?:_B[0-9][0-9A])?$"
)

# What earlier versions took for a square: one anywhere in the name.
_TOKEN = re.compile(rf"(?<![A-Za-z0-9]){_SQUARE}{_END}")

_OWN = {
    "train": re.compile(r"train(ing)?(_?(19|20)\d\d)?", re.IGNORECASE),
    "validation": re.compile(r"(val(id(ation)?)?|dev)(_?(19|20)\d\d)?", re.IGNORECASE),
    "test": re.compile(r"test(ing)?(_?(19|20)\d\d)?", re.IGNORECASE),
}


Origin = tuple[float, float, float, float]
"""y and x of an image's top left corner in pixels, and a pixel's height and width on the ground."""


class Ground(NamedTuple):
    """What an image shows.

    place: the same for images of the same ground, which never end up in different splits, block by block: two
    dates of one Sentinel-2 square show the same fields. row, column: of a patch in it, None for others.
    """

    place: str
    row: int | None = None
    column: int | None = None


def ground_of(name: str) -> Ground:
    """The ground that an image shows, derived from the image's name within its source.

    A name that follows a Sentinel-2 product's pattern gives its MGRS square, and two numbers at its end the
    row and column of a patch of it. Any other name gives itself without its suffix, so that every image is a
    place of its own.
    """
    path = PurePath(name)
    alone = _PATCH_ALONE.match(path.stem)
    if alone:
        return Ground(alone[1], int(alone[2]), int(alone[3]))
    product = next(filter(None, (pattern.match(path.stem) for pattern in _PRODUCTS)), None)
    if product is None:
        return Ground(path.with_suffix("").as_posix())
    place = f"{int(product['zone']):02d}{product['letters']}"
    patch = _PATCH.search(path.stem, product.end())
    return Ground(place, int(patch[1]), int(patch[2])) if patch else Ground(place)


def is_in_square(name: str) -> bool:
    """Whether a name gives a square, and no place in it."""
    ground = ground_of(name)
    return ground.row is None and ground.place != PurePath(name).with_suffix("").as_posix()


def corners_of(origins: Mapping[str, Origin | None]) -> dict[str, tuple[int, int]]:
    """(y, x) in pixels of each image within its square, from the north-west, by georeference.

    Only of squares whose images are all georeferenced, in pixels of one size, and lie in several places.
    """
    by_place: dict[str, dict[str, Origin | None]] = defaultdict(dict)
    for name, origin in origins.items():
        if is_in_square(name):
            by_place[ground_of(name).place][name] = origin
    corners: dict[str, tuple[int, int]] = {}
    for members in by_place.values():
        found = {name: origin for name, origin in members.items() if origin}
        if len(found) == len(members) and len({origin[2:] for origin in found.values()}) == 1:
            top, left = (min(origin[side] for origin in found.values()) for side in (0, 1))
            here = {name: (round(y - top), round(x - left)) for name, (y, x, _, _) in found.items()}
            if len(set(here.values())) > 1:
                corners |= here
    return corners


def own_splits(names: Iterable[str]) -> dict[str, str]:
    """The split that an image's folders name, by image: `train`, `val` or `test` at any depth.

    Empty unless there are images to train on and others; images in none of these folders are missing.
    """
    found = {}
    for name in names:
        folders = PurePosixPath(name).parts[:-1]
        splits = (split for part in folders for split, kind in _OWN.items() if kind.fullmatch(part))
        if split := next(splits, None):
            found[name] = split
    return found if "train" in found.values() and len(set(found.values())) > 1 else {}


def was_split_otherwise(names: Iterable[str]) -> bool:
    """Whether the first layout gave images of these names to other splits, or to other units."""
    names = list(names)
    return bool(own_splits(names)) or any(
        ground.row is not None or ground.place != _first_place_of(name)
        for name in names
        for ground in [ground_of(name)]
    )


def _first_place_of(name: str) -> str:
    path = PurePath(name)
    square = _TOKEN.search(path.stem)
    return f"{int(square['zone']):02d}{square['letters']}" if square else path.with_suffix("").as_posix()
