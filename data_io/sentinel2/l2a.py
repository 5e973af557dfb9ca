"""`sentinel-s2-l2a`: ESA's own files, in a bucket whose readers pay for requests and bytes."""

import re
from collections.abc import Iterable
from datetime import date

from data_io.sentinel2.catalogue import Judgement, Listing, Scene, months, squares_under
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
"""Bytes at the end of metadata.xml that contain the quality block, which begins at most 11 KB before it."""

HEAD = 2560
"""Bytes at the start of metadata.xml that contain the sensing time; read if tileInfo.json is missing."""


class L2A:
    """JPEG 2000 images at 60, 20 and 10 m, with ESA's metadata.xml."""

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
        """Read the identity from tileInfo.json and the quality from the last 16 KiB of metadata.xml.

        If tileInfo.json is missing, the identity comes from the head of metadata.xml. The whole of
        metadata.xml is read only if its end does not contain the quality, or the server ignores ranges.
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
            return None  # metadata.xml contains the identity too

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


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
