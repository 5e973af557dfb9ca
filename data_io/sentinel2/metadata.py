"""What a Sentinel-2 scene's `metadata.xml` and `tileInfo.json` say about it."""

import json
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

MAX_BYTES = 1 << 20
"""Real documents have 22 to 632 KB."""

MAX_TAGS = 60_000
"""Twice those of the longest document; parsing more takes too long."""

MAX_BLOCK = 1 << 16
"""Characters of a quality block; real ones have 3,000."""

BASELINE = re.compile(r"_N(\d\d)\.?(\d\d)(?:_|$)")

# Baseline 02.05 and earlier hold the Level-1C block too, whose cloud is that of the uncorrected image.
_CLOUD_OF = {
    "Image_Content_QI": "CLOUDY_PIXEL_PERCENTAGE",
    "L2A_Image_Content_QI": "CLOUD_COVERAGE_PERCENTAGE",
}
_NODATA = "NODATA_PIXEL_PERCENTAGE"
_BLOCK = re.compile(r"<(?:[\w.-]+:)?(Image_Content_QI|L2A_Image_Content_QI)(?=[\s>/])")
_TILE_ID = re.compile(r"<(?:[\w.-]+:)?TILE_ID(?:_2A)?(?:\s[^<>]*)?>\s*([^<>\s]+)\s*<")
_SENSING_TIME = re.compile(r"<(?:[\w.-]+:)?SENSING_TIME(?:\s[^<>]*)?>\s*([^<>\s]+)\s*<")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


class MetadataError(ValueError):
    """A document does not tell a scene's quality; the message is the reason."""


@dataclass(frozen=True)
class SceneQuality:
    """The quality of a Level-2A scene.

    tile_id, baseline ("05.10"): None in the last part of a document, which begins after them.
    cloud_percent: of the valid pixels. nodata_percent: of all pixels. 0 to 100.
    """

    tile_id: str | None
    baseline: str | None
    cloud_percent: float
    nodata_percent: float


@dataclass(frozen=True)
class Identity:
    """What a scene is. sensing_time: ISO 8601 in UTC. product: with the time of processing, or ""."""

    sensing_time: str
    baseline: str | None
    product: str


def parse_quality(xml: bytes) -> SceneQuality:
    """The quality in `metadata.xml` of any processing baseline: the whole document or its last 16 KiB.

    Raises MetadataError with the reason where the document does not state both percentages once, as numbers
    from 0 to 100, in a Level-2A block: a missing value is never taken for 0.
    """
    _refuse_foreign(xml)
    root = _whole(xml)
    if root is None:
        text = _text(xml)
        blocks = _fragments(text)
        found = _TILE_ID.search(text)
        tile_id = found.group(1) if found else None
    else:
        blocks = [element for element in root.iter() if _local(element) in _CLOUD_OF]
        ids = [element for element in root.iter() if _local(element) in {"TILE_ID", "TILE_ID_2A"}]
        tile_id = (ids[0].text or "").strip() or None if ids else None
    if not blocks:
        raise MetadataError("it has no Level-2A quality block (Image_Content_QI)")
    if len(blocks) > 1:
        raise MetadataError(f"it has {len(blocks)} Level-2A quality blocks")
    block = blocks[0]
    return SceneQuality(
        tile_id=tile_id,
        baseline=baseline_of(tile_id or ""),
        cloud_percent=_percent(block, _CLOUD_OF[_local(block)]),
        nodata_percent=_percent(block, _NODATA),
    )


def parse_head(xml: bytes) -> Identity:
    """The identity in the first 2 KiB, or more, of a `metadata.xml`. Raises MetadataError."""
    text = _text(xml[:MAX_BYTES])
    sensed, tile_id = _SENSING_TIME.search(text), _TILE_ID.search(text)
    if not sensed:
        raise MetadataError("it has no SENSING_TIME")
    return Identity(sensed.group(1), baseline_of(tile_id.group(1) if tile_id else ""), "")


def parse_tile_info(content: bytes) -> Identity:
    """The identity in a `tileInfo.json`, whose cloud percentage is never used: it is 0.0 in every file.

    Raises MetadataError.
    """
    document = load_json(content)
    sensed, product = document.get("timestamp"), document.get("productName")
    datastrip = document.get("datastrip")
    if not isinstance(sensed, str) or not sensed:
        raise MetadataError("it has no timestamp")
    product = product if isinstance(product, str) else ""
    strip = datastrip.get("id") if isinstance(datastrip, dict) else ""
    return Identity(sensed, baseline_of(product) or baseline_of(str(strip)), product)


def load_json(content: bytes) -> dict[str, object]:
    """A JSON object of at most MAX_BYTES. Raises MetadataError."""
    _refuse_foreign(content)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MetadataError("it is not JSON") from error
    if not isinstance(document, dict):
        raise MetadataError("it is not a JSON object")
    return document


def baseline_of(name: str) -> str | None:
    """ "04.00" of a name with `_N04.00` or `_N0400_` in it."""
    found = BASELINE.search(name)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _refuse_foreign(content: bytes) -> None:
    if not content:
        raise MetadataError("it is empty")
    if len(content) > MAX_BYTES:
        raise MetadataError(f"{len(content) / 1e6:.1f} MB are too much for a scene's metadata")
    if content.count(b"<") > MAX_TAGS:
        raise MetadataError(f"more than {MAX_TAGS:,} tags are too much for a scene's metadata")
    head = content[:4096].lower()
    if b"<html" in head or b"<!doctype html" in head:
        raise MetadataError("it is an HTML page")
    if b"\0" in content:
        raise MetadataError("it is binary")
    if b"<error>" in head and b"<code>" in head:
        raise MetadataError("it is an error message of S3")


def _whole(xml: bytes) -> Element | None:
    """The root of a whole document; None for a part of one. Raises MetadataError for hostile XML."""
    from defusedxml.common import (  # type: ignore[import-untyped, unused-ignore]
        DefusedXmlException,
    )
    from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped, unused-ignore]

    lowered = xml.lower()
    if b"<!doctype" in lowered or b"<!entity" in lowered:
        raise MetadataError("it declares a document type or entities, which a scene's metadata never does")
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except DefusedXmlException as error:
        raise MetadataError("it declares a document type or entities") from error
    except (ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        return None
    return root


def _fragments(text: str) -> list[Element]:
    """The complete quality blocks of a part of a document."""
    from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped, unused-ignore]

    blocks = []
    starts = list(_BLOCK.finditer(text))
    for begin in starts[:3]:  # more than one is refused anyway
        end = re.compile(rf"</(?:[\w.-]+:)?{begin.group(1)}\s*>").search(text, begin.end())
        if not end:
            raise MetadataError(f"its {begin.group(1)} is cut short")
        part = text[begin.start() : end.end()]
        if len(part) > MAX_BLOCK:
            raise MetadataError(f"its {begin.group(1)} is too long")
        prefixes = set(re.findall(r"[<\s/]([A-Za-z_][\w.-]*):[A-Za-z_]", part))
        declared = "".join(f' xmlns:{prefix}="urn:part"' for prefix in sorted(prefixes))
        try:
            (block,) = fromstring(f"<part{declared}>{part}</part>", forbid_dtd=True)
        except (ParseError, ValueError) as error:
            raise MetadataError(f"its {begin.group(1)} is not well-formed XML") from error
        blocks.append(block)
    return blocks


def _percent(block: Element, name: str) -> float:
    texts = [(element.text or "").strip() for element in block if _local(element) == name]
    if not texts:
        hint = ": is it a Level-1C document?" if name == _NODATA else ""
        raise MetadataError(f"its {_local(block)} has no {name}{hint}")
    if len(texts) > 1:
        raise MetadataError(f"its {_local(block)} has {len(texts)} of {name}")
    if not _NUMBER.fullmatch(texts[0], 0, 64):
        raise MetadataError(f"its {name} is not a number: {texts[0][:40]!r}")
    value = float(texts[0])
    if not 0 <= value <= 100:
        raise MetadataError(f"its {name} is not from 0 to 100: {texts[0][:40]}")
    return value


def _local(element: Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _text(xml: bytes) -> str:
    text = xml.decode("utf-8", errors="replace")  # a part may begin inside a character
    # No regular expression: it would take quadratic time for comments that never end.
    first, *rest = text.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)
