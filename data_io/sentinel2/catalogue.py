"""What a catalogue is: it finds scenes by square and date, and says how good they are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from data_io.sentinel2.metadata import MetadataError
from data_io.sentinel2.s3 import StoredObject
from data_io.sentinel2.squares import Square
from data_io.sentinel2.traffic import Traffic


@dataclass(frozen=True)
class Scene:
    """One scene as listed. name: square, day and number, such as `32ULA_20220501_0`.

    image, metadata, info: None where the catalogue lacks the object.
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
    """What a scene's documents say about it, by the names of a manifest's entry. product: its name, or ""."""

    sensing_time: str
    baseline: str | None
    product: str
    cloud_percent: float
    nodata_percent: float


@dataclass(frozen=True)
class Part:
    """One request of a search, for one thread. name: for messages. find: raises StoreError."""

    name: str
    find: Callable[[], list[Scene]]


class Catalogue(Protocol):
    """Where scenes are found."""

    name: str
    """The `--source` that asks for it."""
    suffix: str
    """Suffix of its images."""
    resolution: int
    """Metres that a pixel of the wanted images covers."""
    traffic: Traffic
    unsigned: bool

    def parts(self, squares: list[Square], first: date, last: date) -> list[Part]:
        """What to ask for to find these squares' scenes of the days from `first` to `last`, both included.

        Raises StoreError.
        """

    def judge(self, scene: Scene) -> Judgement:
        """What a scene's documents say. Raises StoreError, and MetadataError for an unusable document."""

    def acquisition(self, judgement: Judgement) -> str:
        """What the scenes of one overpass of a square have in common. Raises MetadataError."""

    def coverage(self, judgement: Judgement) -> int:
        """What counts before the age in choosing one of an acquisition's scenes; higher is better."""

    def address(self, key: str) -> str:
        """Where a key is, for messages."""


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
