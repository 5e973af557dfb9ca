"""Find the scenes of a bucket by square and date, and read what their documents say."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from data_io.sentinel2.metadata import (
    Identity,
    MetadataError,
    SceneQuality,
    parse_head,
    parse_quality,
    parse_tile_info,
)
from data_io.sentinel2.s3 import NotFoundError, Store, StoredObject
from data_io.sentinel2.squares import Square

TAIL = 16384
"""Bytes of metadata.xml that hold the quality block, which begins at most 11 KB from the end."""

HEAD = 2560
"""Bytes of metadata.xml that hold the sensing time, read where tileInfo.json is missing."""

RESOLUTIONS = {60: 1830, 20: 5490, 10: 10980}
"""Metres of a pixel, and pixels of a scene's side."""


@dataclass(frozen=True)
class Listing:
    """A prefix to list whole; with `days`, only those of its folders for which `wanted_days` has the date."""

    prefix: str
    days: frozenset[date] | None = None


@dataclass(frozen=True)
class Scene:
    """One scene as listed. name: `32ULA_20220501_0`, square, day and sequence number."""

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
    """What a scene's documents say."""

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
    """Of the images as the bucket holds them."""
    resolution: int
    """Metres of a pixel of the images in the bucket."""

    def squares(self, store: Store, area: Square) -> list[Square]:
        """The squares of a zone and band that have a folder."""

    def listings(self, square: Square, first: date, last: date) -> list[Listing]:
        """What to list for these days, both included, and nothing that they exclude."""

    def day_of(self, folder: str) -> date | None:
        """The date of a folder under a Listing with days."""

    def scenes(self, objects: Iterable[StoredObject]) -> list[Scene]:
        """The scenes that these objects make up, also where some are missing."""

    def judge(self, store: Store, scene: Scene) -> Judgement:
        """Read the documents. Raises StoreError, and MetadataError for an unusable document."""


class L2A:
    """`sentinel-s2-l2a`: JPEG 2000 at 60, 20 and 10 m with ESA's metadata.xml."""

    name = "l2a"
    bucket = "sentinel-s2-l2a"
    region = "eu-central-1"
    suffix = ".jp2"

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        self.image = f"R{resolution}m/TCI.jp2"
        self._key = re.compile(
            r"tiles/(\d+)/([A-Z])/([A-Z]{2})/(\d{4})/(\d+)/(\d+)/(\d+)/(metadata\.xml|tileInfo\.json|"
            + re.escape(self.image)
            + ")"
        )

    def squares(self, store: Store, area: Square) -> list[Square]:
        return squares_under(store, f"tiles/{area.path}", area)

    def listings(self, square: Square, first: date, last: date) -> list[Listing]:
        return [
            Listing(f"tiles/{square.path}{month.year}/{month.month}/", days)
            for month, days in months(first, last)
        ]

    def day_of(self, folder: str) -> date | None:
        return _date(*folder.rstrip("/").split("/")[-3:])

    def scenes(self, objects: Iterable[StoredObject]) -> list[Scene]:
        found: dict[tuple[Square, date, int], dict[str, StoredObject]] = {}
        for item in objects:
            match = self._key.fullmatch(item.key)
            day = match and _date(match[4], match[5], match[6])
            if match and day:
                scene = Square(int(match[1]), match[2], match[3]), day, int(match[7])
                found.setdefault(scene, {})[match[8]] = item
        return [self._scene(square, day, sequence, parts) for (square, day, sequence), parts in found.items()]

    def judge(self, store: Store, scene: Scene) -> Judgement:
        """From tileInfo.json who, and from the end of metadata.xml how good: at most 16 KiB of it.

        Without tileInfo.json its part comes from the head of metadata.xml. Where the end does not tell, or
        the server ignores ranges, the whole document counts.
        """
        assert scene.metadata
        identity = self._identity(store, scene)
        tail = TAIL
        if identity is None:
            tail -= HEAD
            head = store.read(scene.metadata_key, f"0-{HEAD - 1}").body if scene.metadata.size > tail else b""
            identity = parse_head(head) if head else None
        quality = self._quality(store, scene, tail)
        if identity is None:
            identity = parse_head(store.read(scene.metadata_key).body)
        return Judgement(
            identity.sensing_time,
            identity.baseline or quality.baseline,
            identity.product,
            quality.cloud_percent,
            quality.nodata_percent,
        )

    def _quality(self, store: Store, scene: Scene, tail: int) -> SceneQuality:
        if scene.metadata and scene.metadata.size == 0:
            raise MetadataError("it is empty")
        answer = store.read(scene.metadata_key, f"-{tail}")
        try:
            return parse_quality(answer.body)
        except MetadataError:
            if answer.start == 0 or answer.total > 4 << 20:
                raise
        return parse_quality(store.read(scene.metadata_key).body)

    def _identity(self, store: Store, scene: Scene) -> Identity | None:
        if scene.info is None:
            return None
        try:
            return parse_tile_info(store.read(scene.info.key).body)
        except (NotFoundError, MetadataError):
            return None  # metadata.xml has it too

    def _scene(self, square: Square, day: date, sequence: int, parts: dict[str, StoredObject]) -> Scene:
        root = f"tiles/{square.path}{day.year}/{day.month}/{day.day}/{sequence}/"
        return Scene(
            name=f"{square.name}_{day:%Y%m%d}_{sequence}",
            square=square,
            day=day,
            sequence=sequence,
            image_key=root + self.image,
            image=parts.get(self.image),
            metadata_key=root + "metadata.xml",
            metadata=parts.get("metadata.xml"),
            info=parts.get("tileInfo.json"),
        )


def squares_under(store: Store, prefix: str, area: Square) -> list[Square]:
    """The squares whose folders lie under the folder of a zone and band."""
    names = [folder.rstrip("/").rpartition("/")[2] for folder in store.folders(prefix)]
    return [Square(area.zone, area.band, name) for name in names if re.fullmatch("[A-Z]{2}", name)]


def months(first: date, last: date) -> Iterator[tuple[date, frozenset[date] | None]]:
    """The months from `first` to `last`, both included, and for those not wholly in it their days in it."""
    month = first.replace(day=1)
    while month <= last:
        following = (month + timedelta(days=31)).replace(day=1)
        begin, end = max(first, month), min(last, following - timedelta(days=1))
        whole = begin == month and end == following - timedelta(days=1)
        days = frozenset(begin + timedelta(days=i) for i in range((end - begin).days + 1))
        yield month, None if whole else days
        month = following


def find(store: Store, catalogue: Catalogue, listing: Listing) -> list[Scene]:
    """The scenes of one listing."""
    if listing.days is None:
        return catalogue.scenes(store.objects(listing.prefix))
    folders = [f for f in store.folders(listing.prefix) if catalogue.day_of(f) in listing.days]
    return [scene for folder in folders for scene in catalogue.scenes(store.objects(folder))]


def sensing_second(sensing_time: str) -> str:
    """A sensing time to the second in UTC, as it is compared: documents give 3 to 6 decimals.

    Raises MetadataError.
    """
    try:
        moment = datetime.fromisoformat(sensing_time)
    except ValueError as error:
        raise MetadataError(f"its sensing time is no time: {sensing_time[:40]!r}") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
