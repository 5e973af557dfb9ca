"""Which files of a folder or an archive are images to take, told by their names alone."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib"}
    | {".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"}
)

JUNK = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"}
)
"""Folders that systems make beside the user's own, with thumbnails, deleted files and the like."""

HIDDEN = "hidden, or in a hidden folder"
OTHER_KIND = "of kinds that are not read"
MASK = "mask files beside images, whose masks do not count: write them into the images"
IN_PRODUCT = "in a Sentinel-2 product, beside the images taken from it"
EXCLUDED = "excluded by data.exclude"
NOT_INCLUDED = "not named by data.include"

TRUE_COLOUR = "TCI"
NATURAL = ("B04", "B03", "B02")
"""A product's bands that show it as the eye sees it."""

_BAND = re.compile(r"(.*)_(TCI|B\d[\dA])(?:_(\d\d)m)?\.(?:jp2|tiff?)", re.IGNORECASE)
SHOWN = 6
"""Kinds of files named in one line."""


class LeftOut(Counter[tuple[str, str]]):
    """How many files were left out, by reason and, within it, by kind."""

    def __init__(self, reasons: Iterable[tuple[str, str]] | Mapping[tuple[str, str], int] = ()) -> None:
        super().__init__(reasons)

    def by_reason(self) -> dict[str, int]:
        """Counts by reason, sorted."""
        totals: Counter[str] = Counter()
        for (reason, _), count in self.items():
            totals[reason] += count
        return dict(sorted(totals.items()))

    def lines(self) -> list[str]:
        """One line a reason."""
        return [
            f"left out: {count} {reason}{self._kinds(reason)}" for reason, count in self.by_reason().items()
        ]

    def _kinds(self, reason: str) -> str:
        kinds = sorted((-count, kind) for (why, kind), count in self.items() if why == reason and kind)
        words = [f"{kind} {-count}" for count, kind in kinds[:SHOWN]]
        return f" ({', '.join([*words, '...'][: len(kinds)])})" if words else ""


@dataclass(frozen=True)
class Patterns:
    """Which names are taken: those that match any of `include`, or all, and none of `exclude`.

    A pattern with a slash is compared with the whole name, another one with each of its parts.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: str | None, exclude: str | None) -> "Patterns":
        """From texts in which commas separate patterns."""
        lists = [[word.strip() for word in (text or "").split(",")] for text in (include, exclude)]
        return cls(*(tuple(filter(None, words)) for words in lists))

    def refusal(self, name: str) -> str | None:
        """Why a name is not taken; None if it is."""
        if any(_matches(name, pattern) for pattern in self.exclude):
            return EXCLUDED
        if self.include and not any(_matches(name, pattern) for pattern in self.include):
            return NOT_INCLUDED
        return None


@dataclass
class Product:
    """The images of one granule of a Sentinel-2 product. files: by band and pixel size in metres, or 0."""

    name: str
    files: dict[tuple[str, int], str] = field(default_factory=dict)

    def true_colour(self) -> str | None:
        """The finest true-colour image."""
        sizes = [size for band, size in self.files if band == TRUE_COLOUR]
        return self.files[TRUE_COLOUR, min(sizes)] if sizes else None

    def finest(self, bands: Sequence[str]) -> dict[str, str]:
        """Files of the bands, by band, at the finest pixel size that all of them have; empty for none."""
        for size in sorted({size for _, size in self.files}):
            if all((band, size) in self.files for band in bands):
                return {band: self.files[band, size] for band in bands}
        return {}


@dataclass(frozen=True)
class Choice:
    """What was taken: names of images, and products; and what was not."""

    images: list[str]
    products: list[Product]
    left_out: LeftOut


def choose(names: Iterable[str], patterns: Patterns, *, in_product: bool = False) -> Choice:
    """names: relative, with forward slashes. in_product: whether all of them are part of one product."""
    images: list[str] = []
    left_out = LeftOut()
    products: dict[str, Product] = {}
    for name in names:
        path = PurePosixPath(name)
        if any(_is_hidden(part) for part in path.parts):
            left_out[HIDDEN, ""] += 1
        elif path.suffix.lower() == ".msk":
            left_out[MASK, ""] += 1
        elif path.suffix.lower() not in SUFFIXES:
            left_out[OTHER_KIND, path.suffix.lower()[:12] or "no suffix"] += 1
        elif reason := patterns.refusal(name):
            left_out[reason, ""] += 1
        elif in_product or any(part.lower().endswith(".safe") for part in path.parts[:-1]):
            if found := _BAND.fullmatch(path.name):
                prefix, band, size = found.groups()
                granule = f"{name.rpartition('IMG_DATA/')[0]}{prefix}"
                product = products.setdefault(granule, Product(granule))
                product.files[band.upper(), int(size or 0)] = name
            else:
                left_out[IN_PRODUCT, ""] += 1
        else:
            images.append(name)
    return Choice(images, list(products.values()), left_out)


def _is_hidden(part: str) -> bool:
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in JUNK


def _matches(name: str, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(name, pattern)
    return any(fnmatchcase(part, pattern) for part in name.split("/"))
