"""What a STAC item says about a Sentinel-2 scene, in the words of several catalogues."""

import re
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urljoin

from data_io.sentinel2.catalogue import Judgement, sensing_second
from data_io.sentinel2.metadata import MetadataError, baseline_of

DATATAKE = re.compile(r"(S2[A-Z])_MSIL2A_(\d{8}T\d{6})_N\d{4}_R\d{3}_T(\d{2}[A-Z]{3})_(\d{8}T\d{6})")
"""A product's name: satellite, start of the datatake, square, and when it was made."""

ASSETS = ("visual", "TCI", "TCI_10m")
"""What catalogues call the true-colour image."""

_SQUARE = re.compile(r"(?:^|[_T-])(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?![A-Za-z0-9])")
_ID = re.compile(r"S2[A-Z]_T?\d{1,2}[A-Z]{3}_\d{8}(?:T(\d{6})|_(\d+))_L2A")


@dataclass(frozen=True)
class Item:
    """One item. square: such as `32ULA`. image: where the true-colour GeoTIFF is. None if it does not say so.

    number: digits that distinguish the scenes of a square, a day and a satellite. product: or "".
    """

    id: str
    collection: str
    address: str
    square: str | None
    day: date | None
    satellite: str
    number: str
    product: str
    image: str | None
    updated: str
    properties: dict[str, Any]

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Item":
        """Read an item from its JSON document; what is missing or of another type counts as not said."""
        properties = _dict(document.get("properties"))
        identity, collection = _text(document.get("id")), _text(document.get("collection"))
        links = [_dict(link) for link in _list(document.get("links"))]
        own = next((_text(link.get("href")) for link in links if link.get("rel") == "self"), "")
        product = _product(identity, properties)
        made = DATATAKE.match(product)
        return cls(
            id=identity,
            collection=collection,
            address=own or f"item {identity} of {collection}",
            square=_square(identity, product, properties),
            day=_day(properties),
            satellite=_satellite(identity, product, properties),
            number=_number(identity, made[4] if made else ""),
            product=product,
            image=_image(_dict(document.get("assets")), own),
            updated=_text(properties.get("updated")),
            properties=properties,
        )

    def judgement(self) -> Judgement:
        """Raises MetadataError where the sensing time or a percentage is missing or no such thing."""
        sensed = _sensed(self.properties)
        if not sensed:
            raise MetadataError("it has no datetime")
        sensing_second(sensed)
        baseline = self.properties.get("s2:processing_baseline")
        return Judgement(
            sensed,
            baseline if isinstance(baseline, str) else baseline_of(self.product),
            self.product,
            _percent(self.properties, "eo:cloud_cover"),
            _percent(self.properties, "s2:nodata_pixel_percentage"),
        )


def _product(identity: str, properties: dict[str, Any]) -> str:
    said = (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), identity)
    names = [text.removesuffix(".SAFE") for text in map(_text, said) if DATATAKE.match(text)]
    return names[0] if names else ""


def _square(identity: str, product: str, properties: dict[str, Any]) -> str | None:
    made = DATATAKE.match(product)
    said = (made[3] if made else "", properties.get("grid:code"), properties.get("s2:mgrs_tile"), identity)
    for text in map(_text, said):
        found = _SQUARE.search(text)
        if found:
            return f"{int(found[1]):02d}{found[2]}"
    return None


def _satellite(identity: str, product: str, properties: dict[str, Any]) -> str:
    for text in (product, identity, _text(properties.get("platform")).lower().replace("sentinel-", "S")):
        if re.match("S2[A-Za-z]", text):
            return text[:3].upper()
    return "S2"


def _number(identity: str, made: str) -> str:
    found = _ID.fullmatch(identity)
    if found:
        return found[1] or found[2]
    return re.sub(r"\D", "", made) or str(zlib.crc32(identity.encode()))


def _image(assets: dict[str, Any], own: str) -> str | None:
    for name in ASSETS:
        asset = _dict(assets.get(name))
        href, kind = _text(asset.get("href")), _text(asset.get("type"))
        if href and (kind.startswith("image/tiff") or href.lower().endswith((".tif", ".tiff"))):
            return urljoin(own, href) if "://" not in href else href
    return None


def _sensed(properties: dict[str, Any]) -> str:
    return _text(properties.get("datetime")) or _text(properties.get("start_datetime"))


def _day(properties: dict[str, Any]) -> date | None:
    try:
        return datetime.fromisoformat(_sensed(properties)).date()
    except ValueError:
        return None


def _percent(properties: dict[str, Any], name: str) -> float:
    value = properties.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetadataError(f"it has no {name}")
    if not 0 <= value <= 100:
        raise MetadataError(f"its {name} is not between 0 and 100: {value}")
    return float(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
