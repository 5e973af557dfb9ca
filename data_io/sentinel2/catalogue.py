"""How a bucket of scenes is laid out, and how scenes are found in it by square and date."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from data_io.sentinel2.metadata import MetadataError
from data_io.sentinel2.s3 import Store, StoredObject
from data_io.sentinel2.squares import Square

RESOLUTIONS = {60: 1830, 20: 5490, 10: 10980}
"""Pixels along a side of a scene, by the metres that a pixel covers."""


@dataclass(frozen=True)
class Listing:
    """A prefix to list completely or, if `days` is given, only its folders for these days."""

    prefix: str
    days: frozenset[date] | None = None


@dataclass(frozen=True)
class Scene:
    """One scene as listed. name: square, day and sequence number, such as `32ULA_20220501_0`.

    image, metadata, info: None where the bucket lacks the object.
    """

    name: str
    square: Square
    day: date
    sequence: int
    image_key: str
    image: StoredObject | None
    metadata_key: str
    metadata: StoredObject | None
    info: StoredObject | None = None


@dataclass(frozen=True)
class Judgement:
    """What a scene's documents say about it."""

    sensing_time: str
    baseline: str | None
    product: str
    cloud_percent: float
    nodata_percent: float


class Catalogue(Protocol):
    """How a bucket is laid out."""

    name: str
    bucket: str
    region: str
    suffix: str
    """Suffix of the images in the bucket."""
    resolution: int
    """Metres that a pixel of the images in the bucket covers."""

    def squares(self, store: Store, area: Square) -> list[Square]:
        """The squares of a zone and band that have a folder in the bucket."""

    def listings(self, square: Square, first: date, last: date) -> list[Listing]:
        """What to list for the days from `first` to `last`, both included, and for no other days."""

    def day_of(self, folder: str) -> date | None:
        """The date of a folder under a Listing that has days."""

    def scenes(self, objects: Iterable[StoredObject]) -> list[Scene]:
        """The scenes to which these objects belong, including those that lack some of their objects."""

    def judge(self, store: Store, scene: Scene) -> Judgement:
        """Read a scene's documents. Raises StoreError, and MetadataError for an unusable document."""


def squares_under(store: Store, prefix: str, area: Square) -> list[Square]:
    """The squares that have a folder under `prefix`, the folder of a zone and band."""
    names = [folder.rstrip("/").rpartition("/")[2] for folder in store.folders(prefix)]
    return [Square(area.zone, area.band, name) for name in names if re.fullmatch("[A-Z]{2}", name)]


def months(first: date, last: date) -> Iterator[tuple[date, frozenset[date] | None]]:
    """Each month from `first` to `last`, both included, and its days in that period, or None for all days."""
    month = first.replace(day=1)
    while month <= last:
        following = (month + timedelta(days=31)).replace(day=1)
        begin, end = max(first, month), min(last, following - timedelta(days=1))
        whole = begin == month and end == following - timedelta(days=1)
        days = frozenset(begin + timedelta(days=i) for i in range((end - begin).days + 1))
        yield month, None if whole else days
        month = following


def find_scenes(store: Store, catalogue: Catalogue, listing: Listing) -> list[Scene]:
    """The scenes of one listing."""
    if listing.days is None:
        return catalogue.scenes(store.objects(listing.prefix))
    folders = [f for f in store.folders(listing.prefix) if catalogue.day_of(f) in listing.days]
    return [scene for folder in folders for scene in catalogue.scenes(store.objects(folder))]


def sensing_second(sensing_time: str) -> str:
    """A sensing time in UTC, cut to the second for comparison: documents give 3 to 6 decimals.

    Raises MetadataError.
    """
    try:
        moment = datetime.fromisoformat(sensing_time)
    except ValueError as error:
        raise MetadataError(f"its sensing time is not a time: {sensing_time[:40]!r}") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
