"""Read what `metadata.xml` and `tileInfo.json` say about a Sentinel-2 scene."""

import json
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

MAX_BYTES = 1 << 20
"""Limit of a document; real ones have 22 to 632 KB."""

MAX_TAGS = 60_000
"""Twice as many as the longest real document has; parsing more takes too long."""

MAX_BLOCK = 1 << 16
"""Limit of a quality block in characters; real ones have 3,000."""

BASELINE = re.compile(r"_N(\d\d)\.?(\d\d)(?:_|$)")

# Documents of baseline 02.05 and earlier contain the Level-1C block too, with another cloud percentage.
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
    """A document does not give what is needed of it; the message is the reason."""


@dataclass(frozen=True)
class SceneQuality:
    """The quality of a Level-2A scene.

    baseline: such as "05.10"; None if only the end of a document was read, which lacks it.
    cloud_percent: 0 to 100, of the valid pixels. nodata_percent: 0 to 100, of all pixels.
    """

    baseline: str | None
    cloud_percent: float
    nodata_percent: float


@dataclass(frozen=True)
class Identity:
    """Which scene it is. sensing_time: ISO 8601, UTC. product: its name, or ""."""

    sensing_time: str
    baseline: str | None
    product: str


def parse_quality(xml: bytes) -> SceneQuality:
    """Read the quality from `metadata.xml` of any processing baseline, or from its last 16 KiB.

    Raises MetadataError unless the document states both percentages exactly once, as numbers between 0 and
    100, in a Level-2A block: a missing value is never taken for 0.
    """
    _refuse_unlikely(xml)
    lowered = xml.lower()
    if b"<!doctype" in lowered or b"<!entity" in lowered:
        raise MetadataError("it declares a document type or entities, which a scene's metadata never does")
    text = _text(xml)
    blocks = _complete_blocks(text)
    found = _TILE_ID.search(text)
    if not blocks:
        raise MetadataError("it has no Level-2A quality block (Image_Content_QI)")
    if len(blocks) > 1:
        raise MetadataError(f"it has {len(blocks)} Level-2A quality blocks")
    block = blocks[0]
    return SceneQuality(
        baseline=baseline_of(found.group(1) if found else ""),
        cloud_percent=_percent(block, _CLOUD_OF[_local_name(block)]),
        nodata_percent=_percent(block, _NODATA),
    )


def parse_head(xml: bytes) -> Identity:
    """Read the identity from at least the first 2 KiB of a `metadata.xml`. Raises MetadataError."""
    text = _text(xml[:MAX_BYTES])
    sensed, tile_id = _SENSING_TIME.search(text), _TILE_ID.search(text)
    if not sensed:
        raise MetadataError("it has no SENSING_TIME")
    return Identity(sensed.group(1), baseline_of(tile_id.group(1) if tile_id else ""), "")


def parse_tile_info(content: bytes) -> Identity:
    """Read the identity from a `tileInfo.json`. Its cloud percentage is never used: it is 0.0 in every file.

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
    """Parse a JSON object of at most MAX_BYTES. Raises MetadataError."""
    _refuse_unlikely(content)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MetadataError("it is not JSON") from error
    if not isinstance(document, dict):
        raise MetadataError("it is not a JSON object")
    return document


def baseline_of(name: str) -> str | None:
    """The baseline, such as "04.00", in a name that contains `_N04.00` or `_N0400_`."""
    found = BASELINE.search(name)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _refuse_unlikely(content: bytes) -> None:
    if not content:
        raise MetadataError("it is empty")
    if len(content) > MAX_BYTES:
        raise MetadataError(f"{len(content) / 1e6:.1f} MB are more than a scene's metadata has")
    if content.count(b"<") > MAX_TAGS:
        raise MetadataError(f"more than {MAX_TAGS:,} tags are more than a scene's metadata has")
    head = content[:4096].lower()
    if b"<html" in head or b"<!doctype html" in head:
        raise MetadataError("it is an HTML page")
    if b"\0" in content:
        raise MetadataError("it is binary")
    if b"<error>" in head and b"<code>" in head:
        raise MetadataError("it is an error message of S3")


def _complete_blocks(text: str) -> list[Element]:
    """The complete quality blocks in a document, or in part of one."""
    blocks = []
    starts = list(_BLOCK.finditer(text))
    for begin in starts[:3]:  # the caller refuses more than one
        end = re.compile(rf"</(?:[\w.-]+:)?{begin.group(1)}\s*>").search(text, begin.end())
        if not end:
            raise MetadataError(f"its {begin.group(1)} is cut short")
        part = text[begin.start() : end.end()]
        if len(part) > MAX_BLOCK:
            raise MetadataError(f"its {begin.group(1)} is too long")
        prefixes = set(re.findall(r"[<\s/]([A-Za-z_][\w.-]*):[A-Za-z_]", part))
        declared = "".join(f' xmlns:{prefix}="urn:part"' for prefix in sorted(prefixes))
        try:
            # Inside an element no document type, and so no entity, can be declared.
            (block,) = fromstring(f"<part{declared}>{part}</part>")
        except (ParseError, ValueError) as error:
            raise MetadataError(f"its {begin.group(1)} is not well-formed XML") from error
        blocks.append(block)
    return blocks


def _percent(block: Element, name: str) -> float:
    texts = [(element.text or "").strip() for element in block if _local_name(element) == name]
    if not texts:
        hint = ": is it a Level-1C document?" if name == _NODATA else ""
        raise MetadataError(f"its {_local_name(block)} has no {name}{hint}")
    if len(texts) > 1:
        raise MetadataError(f"its {_local_name(block)} has {len(texts)} of {name}")
    if not _NUMBER.fullmatch(texts[0], 0, 64):
        raise MetadataError(f"its {name} is not a number: {texts[0][:40]!r}")
    value = float(texts[0])
    if not 0 <= value <= 100:
        raise MetadataError(f"its {name} is not between 0 and 100: {texts[0][:40]}")
    return value


def _local_name(element: Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _text(xml: bytes) -> str:
    text = xml.decode("utf-8", errors="replace")  # the part may begin in the middle of a character
    # A regular expression would take quadratic time for comments that never end.
    first, *rest = text.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)
