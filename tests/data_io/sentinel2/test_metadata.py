"""The quality is read for every baseline, from whole documents and their ends; all else gives a reason."""

import json
import time
import tracemalloc
from dataclasses import replace

import pytest
from bucket import FakeScene, metadata, tile_info

from data_io.sentinel2.metadata import (
    MAX_BYTES,
    MetadataError,
    SceneQuality,
    parse_head,
    parse_quality,
    parse_tile_info,
)

BASELINES = ("02.01", "02.05", "02.06", "02.12", "03.01", "04.00", "05.10", "05.11")


@pytest.mark.parametrize("baseline", BASELINES)
def test_every_baseline_whole_and_from_its_last_16_kib(baseline: str) -> None:
    whole = metadata(FakeScene(baseline=baseline, cloud="12.25", nodata="3.5"))
    quality = parse_quality(whole)
    assert (quality.baseline, quality.cloud_percent, quality.nodata_percent) == (baseline, 12.25, 3.5)
    assert parse_quality(whole[-16384:]) == SceneQuality(None, 12.25, 3.5)


@pytest.mark.parametrize("length", range(16300, 16460))
def test_a_tail_may_begin_anywhere_in_a_tag(length: int) -> None:
    assert parse_quality(metadata(FakeScene())[-length:]).cloud_percent == 1.5


@pytest.mark.parametrize("baseline", BASELINES[:2])
def test_old_quality_names_and_the_level_1c_decoy(baseline: str) -> None:
    xml = metadata(FakeScene(baseline=baseline, cloud="4"))
    assert b"<CLOUDY_PIXEL_PERCENTAGE>86.3421<" in xml
    assert parse_quality(xml).cloud_percent == parse_quality(xml[-16384:]).cloud_percent == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-05", 1e-05), ("5.0E+1", 50), (" 7 ", 7), ("5.000001", 5.000001), ("0", 0), ("100", 100)],
)
def test_scientific_notation_and_other_numbers(text: str, value: float) -> None:
    assert parse_quality(metadata(FakeScene(cloud=text))).cloud_percent == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "100.1", "1_0", "5,0", "٣", "0x1", "9" * 70])
def test_what_is_no_percentage_is_refused_with_its_name(text: str) -> None:
    for xml in (metadata(FakeScene(nodata=text)), metadata(FakeScene(nodata=text))[-16384:]):
        with pytest.raises(MetadataError, match="NODATA_PIXEL_PERCENTAGE"):
            parse_quality(xml)


def test_a_missing_nodata_is_refused_and_not_taken_for_0() -> None:
    xml = metadata(FakeScene())
    start, end = xml.index(b"<NODATA"), xml.index(b"</Image_Content_QI>")
    for document in (xml[:start] + xml[end:], (xml[:start] + xml[end:])[-16384:]):
        with pytest.raises(MetadataError, match="no NODATA_PIXEL_PERCENTAGE: is it a Level-1C"):
            parse_quality(document)


def test_a_missing_quality_block_is_refused() -> None:
    xml = metadata(FakeScene(baseline="02.05")).replace(b"L2A_Image_Content_QI", b"Other_QI")
    for document in (xml, xml[-16384:]):
        with pytest.raises(MetadataError, match="no Level-2A quality block"):
            parse_quality(document)


def test_a_block_in_a_comment_does_not_count() -> None:
    decoy = (
        b"<!-- <Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>0</CLOUDY_PIXEL_PERCENTAGE></Image_Content_QI> -->"
    )
    xml = metadata(FakeScene(cloud="50")).replace(b"<Image_Content_QI>", decoy + b"<Image_Content_QI>", 1)
    assert parse_quality(xml).cloud_percent == parse_quality(xml[-16384:]).cloud_percent == 50


def test_two_blocks_are_refused() -> None:
    xml = metadata(FakeScene())
    block = xml[xml.index(b"<Image_Content_QI>") : xml.index(b"</Image_Content_QI>") + 19]
    twice = xml.replace(block, block * 2)
    for document in (twice, twice[-16384:]):
        with pytest.raises(MetadataError, match="2 Level-2A quality blocks"):
            parse_quality(document)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(12))
    + b"]><Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>&m;</CLOUDY_PIXEL_PERCENTAGE></Image_Content_QI>"
)

HOSTILE = {
    "empty": (b"", "empty"),
    "entity bomb": (BOMB, "document type"),
    "entity bomb after a comment": (b"<!--" + b"x" * 5000 + b"-->" + BOMB[21:], "document type"),
    "quadratic bomb": (
        BOMB[:60].replace(b"aaaaaaaaaa", b"a" * 10) + b"a" * 500_000 + b"]><a/>",
        "document type",
    ),
    "external entity": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "document type"),
    "50 MB": (b"<a>" + b"x" * 50_000_000 + b"</a>", "50.0 MB"),
    "50 MB of tags": (b"<Image_Content_QI>" * 2_800_000, "MB are more than"),
    "binary": (bytes(range(256)) * 4000, "binary"),
    "noise": (bytes(1 + (i * i * 7919) % 255 for i in range(50_000)), "no Level-2A quality block"),
    "HTML": (b"<!doctype html><html><body>Sign in</body></html>", "HTML"),
    "S3 error": (b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>', "error message of S3"),
    "deep": (b"<a>" * 60_000, "no Level-2A quality block"),
    "deeper": (b"<a>" * 300_000, "more than 60,000 tags"),
    "deep block": (b"<Image_Content_QI>" + b"<a>" * 50_000 + b"</Image_Content_QI>", "too long"),
    "open blocks": (b"<Image_Content_QI>" * 50_000, "cut short"),
    "open comments": (b"<!--" * 60_000, "no Level-2A quality block"),
    "many prefixes": (
        b"<Image_Content_QI>" + b"".join(b"<p%d:a/>" % i for i in range(50_000)) + b"</Image_Content_QI>",
        "too long",
    ),
    "unknown encoding": (b'<?xml version="1.0" encoding="x-none"?><a/>', "no Level-2A quality block"),
    "cut short": (metadata(FakeScene()).partition(b"<NODATA")[0], "cut short"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_refused_within_a_second_and_100_mb(name: str) -> None:
    content, reason = HOSTILE[name]
    begun = time.process_time()
    with pytest.raises(MetadataError, match=reason):
        parse_quality(content)
    assert time.process_time() - begun < 1
    tracemalloc.start()
    try:
        with pytest.raises(MetadataError):
            parse_quality(content[: MAX_BYTES + 1])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_tile_info_gives_the_identity_and_never_the_cloud() -> None:
    identity = parse_tile_info(tile_info(FakeScene(baseline="05.10")))
    assert (identity.sensing_time, identity.baseline) == ("2022-05-01T10:30:19.283Z", "05.10")
    assert not hasattr(identity, "cloud_percent")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"[" * 100_000, b"{}", b'{"timestamp": 5}', b"\xff\xfe"]
)
def test_an_unusable_tile_info_is_refused(content: bytes) -> None:
    with pytest.raises(MetadataError):
        parse_tile_info(content)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_head_of_a_document_gives_the_sensing_time(baseline: str) -> None:
    head = metadata(FakeScene(baseline=baseline))[:2560]
    assert parse_head(head).sensing_time == "2022-05-01T10:30:19.283082Z"
    assert parse_head(head).baseline == baseline
    with pytest.raises(MetadataError, match="SENSING_TIME"):
        parse_head(head[:300])


def test_the_fixtures_have_the_trap_of_the_real_files() -> None:
    info = json.loads(tile_info(replace(FakeScene(), cloud="99.9")))
    assert info["cloudyPixelPercentage"] == 0.0
