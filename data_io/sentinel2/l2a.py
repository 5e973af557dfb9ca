"""`sentinel-s2-l2a`: ESA's own files, in a bucket whose readers pay for requests and bytes."""

import re
from datetime import date
from functools import partial

from data_io.sentinel2.catalogue import Judgement, Part, Scene, sensing_second
from data_io.sentinel2.failures import NotFoundError
from data_io.sentinel2.metadata import (
    Identity,
    MetadataError,
    SceneQuality,
    parse_head,
    parse_quality,
    parse_tile_info,
)
from data_io.sentinel2.s3 import Store, StoredObject
from data_io.sentinel2.squares import Square

BUCKET = "sentinel-s2-l2a"
REGION = "eu-central-1"

SIDES = {60: 1830, 20: 5490, 10: 10980}
"""Pixels along a side of a scene, by the metres that a pixel covers."""

TAIL = 16384
"""Bytes at the end of metadata.xml that contain the quality block, which begins at most 11 KB before it."""

HEAD = 2560
"""Bytes at the start of metadata.xml that contain the sensing time; read if tileInfo.json is missing."""


class L2A:
    """JPEG 2000 images at 60, 20 and 10 m, with ESA's metadata.xml."""

    name = "l2a"
    suffix = ".jp2"

    def __init__(self, store: Store, resolution: int) -> None:
        self.resolution = resolution
        self.traffic, self.unsigned = store.traffic, store.unsigned
        self._store = store
        self._image = f"R{resolution}m/TCI.jp2"
        self._key = re.compile(
            r"tiles/(\d+)/([A-Z])/([A-Z]{2})/(\d{4})/(\d+)/(\d+)/(\d+)/(metadata\.xml|tileInfo\.json|"
            + re.escape(self._image)
            + ")"
        )

    def parts(self, squares: list[Square], first: date, last: date) -> list[Part]:
        """Whole months: a month of a square has few pages, and asking for its days takes more requests."""
        named = {square for area in squares for square in self._squares_in(area)}
        months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
        prefixes = [
            f"tiles/{square.path}{month // 12}/{month % 12 + 1}/"
            for square in sorted(named)
            for month in months
        ]
        return [Part(prefix, partial(self._find, prefix)) for prefix in prefixes]

    def acquisition(self, judgement: Judgement) -> str:
        return sensing_second(judgement.sensing_time)

    def coverage(self, judgement: Judgement) -> int:
        return 0

    def address(self, key: str) -> str:
        return f"s3://{self._store.bucket}/{key}"

    def _squares_in(self, area: Square) -> list[Square]:
        """A square itself, or the squares of a zone and band that have a folder."""
        if area.letters:
            return [area]
        folders = self._store.folders(f"tiles/{area.path}")
        names = [folder.rstrip("/").rpartition("/")[2] for folder in folders]
        return [Square(area.zone, area.band, name) for name in names if re.fullmatch("[A-Z]{2}", name)]

    def _find(self, prefix: str) -> list[Scene]:
        found: dict[tuple[Square, date, int], dict[str, StoredObject]] = {}
        for item in self._store.objects(prefix):
            match = self._key.fullmatch(item.key)
            day = match and _date(match[4], match[5], match[6])
            if match and day:
                scene = Square(int(match[1]), match[2], match[3]), day, int(match[7])
                found.setdefault(scene, {})[match[8]] = item
        return [self._scene(square, day, sequence, parts) for (square, day, sequence), parts in found.items()]

    def judge(self, scene: Scene) -> Judgement:
        """Read the identity from tileInfo.json and the quality from the last 16 KiB of metadata.xml.

        If tileInfo.json is missing, the identity comes from the head of metadata.xml. The whole of
        metadata.xml is read only if its end does not contain the quality, or the server ignores ranges.
        """
        assert scene.metadata
        identity = self._identity(scene)
        tail = TAIL
        if identity is None:
            tail -= HEAD
            head = self._store.read(scene.metadata_key, (0, HEAD))[0] if scene.metadata.size > tail else b""
            identity = parse_head(head) if head else None
        quality = self._quality(scene, tail)
        if identity is None:
            identity = parse_head(self._store.read(scene.metadata_key)[0])
        return Judgement(
            identity.sensing_time,
            identity.baseline or quality.baseline,
            identity.product,
            quality.cloud_percent,
            quality.nodata_percent,
        )

    def _quality(self, scene: Scene, tail: int) -> SceneQuality:
        if scene.metadata and scene.metadata.size == 0:
            raise MetadataError("it is empty")
        content, answer = self._store.read(scene.metadata_key, {"suffix": tail})
        try:
            return parse_quality(content)
        except MetadataError:
            if answer.start == 0 or answer.total > 4 << 20:
                raise
        return parse_quality(self._store.read(scene.metadata_key)[0])

    def _identity(self, scene: Scene) -> Identity | None:
        if scene.info is None:
            return None
        try:
            return parse_tile_info(self._store.read(scene.info.key)[0])
        except (NotFoundError, MetadataError):
            return None  # metadata.xml contains the identity too

    def _scene(self, square: Square, day: date, sequence: int, parts: dict[str, StoredObject]) -> Scene:
        root = f"tiles/{square.path}{day.year}/{day.month}/{day.day}/{sequence}/"
        return Scene(
            name=f"{square.name}_{day:%Y%m%d}_{sequence}",
            square=square,
            day=day,
            sequence=sequence,
            image_key=root + self._image,
            image=parts.get(self._image),
            metadata_key=root + "metadata.xml",
            metadata=parts.get("metadata.xml"),
            info=parts.get("tileInfo.json"),
        )


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
