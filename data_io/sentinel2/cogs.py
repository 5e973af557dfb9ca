"""`sentinel-cogs`: cloud-optimised GeoTIFFs with STAC items, in a bucket that anybody may read."""

import re
from collections.abc import Iterable
from datetime import date, datetime

from data_io.sentinel2.catalogue import Judgement, Listing, Scene, months, squares_under
from data_io.sentinel2.metadata import MetadataError, load_json
from data_io.sentinel2.s3 import Store, StoredObject
from data_io.sentinel2.squares import Square

ROOT = "sentinel-s2-l2a-cogs/"

_FOLDER = re.compile(r"S2[A-Z]_(\d{1,2})([A-Z])([A-Z]{2})_(\d{8})_(\d+)_L2A")


class Cogs:
    """TCI.tif images at 10 m only, each with its quality in the STAC item beside it."""

    name = "cogs"
    bucket = "sentinel-cogs"
    region = "us-west-2"
    suffix = ".tif"
    resolution = 10

    def squares(self, store: Store, area: Square) -> list[Square]:
        return squares_under(store, ROOT + area.path, area)

    def listings(self, square: Square, first: date, last: date) -> list[Listing]:
        return [
            Listing(f"{ROOT}{square.path}{month.year}/{month.month}/", days)
            for month, days in months(first, last)
        ]

    def day_of(self, folder: str) -> date | None:
        found = _FOLDER.fullmatch(folder.rstrip("/").rpartition("/")[2])
        return _day(found[4]) if found else None

    def scenes(self, objects: Iterable[StoredObject]) -> list[Scene]:
        parts: dict[str, dict[str, StoredObject]] = {}
        for item in objects:
            folder, _, name = item.key.rpartition("/")
            parts.setdefault(folder, {})[name] = item
        scenes = []
        for folder, files in parts.items():
            identity = folder.rpartition("/")[2]
            found = _FOLDER.fullmatch(identity)
            day = _day(found[4]) if found else None
            if not found or not day:
                continue
            square = Square(int(found[1]), found[2], found[3])
            scenes.append(
                Scene(
                    # The satellite is part of the name: two of them may pass over a square on one day.
                    name=f"{square.name}_{day:%Y%m%d}_{identity[:3]}-{found[5]}",
                    square=square,
                    day=day,
                    sequence=int(found[5]),
                    image_key=f"{folder}/TCI.tif",
                    image=files.get("TCI.tif"),
                    metadata_key=f"{folder}/{identity}.json",
                    metadata=files.get(f"{identity}.json"),
                )
            )
        return scenes

    def judge(self, store: Store, scene: Scene) -> Judgement:
        item = load_json(store.read(scene.metadata_key).body)
        properties = item.get("properties")
        if not isinstance(properties, dict):
            raise MetadataError("it is not a STAC item: it has no properties")
        sensed = properties.get("datetime")
        if not isinstance(sensed, str):
            raise MetadataError("it has no datetime")
        baseline = properties.get("s2:processing_baseline")
        product = properties.get("s2:product_uri") or properties.get("sentinel:product_id") or ""
        return Judgement(
            sensed,
            baseline if isinstance(baseline, str) else None,
            product.removesuffix(".SAFE") if isinstance(product, str) else "",
            _percent(properties, "eo:cloud_cover"),
            _percent(properties, "s2:nodata_pixel_percentage"),
        )


def _percent(properties: dict[str, object], name: str) -> float:
    value = properties.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetadataError(f"it has no {name}")
    if not 0 <= value <= 100:
        raise MetadataError(f"its {name} is not between 0 and 100: {value}")
    return float(value)


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
