"""Which of the listed scenes are kept, and what is recorded about the others."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from bucket import ONE, TWO, FakeScene, metadata
from conftest import Fetch, Put, corrupted, entries, files
from proxy import Proxy


def test_the_cloud_percentage_is_that_of_the_xml_and_not_that_of_the_tile_info(
    faulty: Proxy, put: Put, run: Fetch
) -> None:
    put(FakeScene(cloud="99.9"))
    assert run(faulty).decisions == {"cloudy": 1}


def test_the_quality_names_of_old_baselines_are_read(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(FakeScene(baseline="02.05", cloud="4"))
    assert run(faulty).decisions == {"kept": 1}


def test_percentages_in_scientific_notation_are_read(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(FakeScene(cloud="1.5e-05", nodata="9.9e+01"))
    run(faulty)
    entry = entries(tmp_path / "out")[ONE.name]
    assert (entry.decision, entry.cloud_percent, entry.nodata_percent) == ("nodata", 1.5e-05, 99)


def test_a_scene_at_the_limit_passes_and_one_just_above_does_not(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(replace(ONE, cloud="5.0", nodata="5.0"), replace(TWO, cloud="5.000001"))
    put(replace(TWO, sequence=1, nodata="5.000001"))
    run(faulty)
    found = {name: entry.decision for name, entry in entries(tmp_path / "out").items()}
    assert found == {ONE.name: "kept", TWO.name: "cloudy", "32ULA_20220511_1": "nodata"}


def test_a_scene_without_its_percentages_is_corrupt_and_not_read_again(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    without_block = metadata(ONE).replace(b"Image_Content_QI", b"Other")
    without_nodata = metadata(TWO).replace(b"NODATA_PIXEL_PERCENTAGE", b"OTHER")
    third = replace(ONE, day=date(2022, 5, 21))
    put(
        replace(ONE, extra={"metadata.xml": without_block}),
        replace(TWO, extra={"metadata.xml": without_nodata}),
        third,
    )
    report = run(faulty)
    assert report.decisions == {"corrupt": 2, "kept": 1}
    reasons = {name: entry.reason for name, entry in entries(tmp_path / "out").items()}
    assert "no Level-2A quality block" in reasons[ONE.name]
    assert "no NODATA_PIXEL_PERCENTAGE" in reasons[TWO.name]
    assert len(report.failures) == 2
    assert run(faulty).failures == []  # known, and not read again


def test_a_scene_that_is_almost_all_nodata_is_rejected_though_it_has_no_cloud(
    faulty: Proxy, put: Put, run: Fetch
) -> None:
    put(FakeScene(cloud="0.000000", nodata="99.997"))
    assert run(faulty).decisions == {"nodata": 1}


def test_a_missing_tile_info_is_replaced_by_the_head_of_the_metadata(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(replace(ONE, without=frozenset({"tileInfo.json"})), replace(ONE, sequence=1, sensed=ONE.sensing_time))
    assert run(faulty).decisions == {"duplicate": 1, "kept": 1}  # 3 and 6 decimals are the same time
    entry = entries(tmp_path / "out")[ONE.name]
    assert (entry.sensing_time, entry.baseline) == (ONE.sensing_time, "04.00")
    assert max(faulty.received("metadata.xml").values()) <= 16384


def test_of_several_scenes_of_one_acquisition_the_newest_baseline_is_kept(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    same = ONE.sensing_time
    put(
        replace(ONE, baseline="02.12"),
        replace(ONE, sequence=1, baseline="05.10", sensed=same, seed=5),
        replace(ONE, sequence=2, baseline="04.00", sensed=same, cloud="0"),
        replace(ONE, sequence=3),
    )
    run(faulty)
    found = {name[-1]: entry.decision for name, entry in entries(tmp_path / "out").items()}
    assert found == {"0": "duplicate", "1": "kept", "2": "duplicate", "3": "kept"}


def test_a_scene_without_image_is_missing_until_the_image_arrives(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(replace(ONE, without=frozenset({"R60m/TCI.jp2"})), TWO)
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 1, "missing": 1}, [])
    assert "R60m/TCI.jp2 is not in the bucket" in entries(tmp_path / "out")[ONE.name].reason
    put(ONE)  # it arrives later
    assert run(faulty).decisions == {"kept": 2}


def test_a_newer_processing_without_image_does_not_hide_the_older(
    faulty: Proxy, put: Put, run: Fetch
) -> None:
    newer = replace(ONE, sequence=1, baseline="05.10", sensed=ONE.sensing_time)
    put(ONE, replace(newer, without=frozenset({"R60m/TCI.jp2"})))
    assert run(faulty).decisions == {"kept": 1, "missing": 1}


def test_a_newer_processing_that_is_corrupt_does_not_hide_the_older(
    faulty: Proxy, put: Put, run: Fetch
) -> None:
    newer = replace(ONE, sequence=1, baseline="05.10", sensed=ONE.sensing_time)
    put(ONE, replace(newer, extra={"R60m/TCI.jp2": b"\xff\x4f noise"}))
    report = run(faulty)
    assert report.decisions == {"corrupt": 1, "kept": 1}
    assert len(report.failures) == 1
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}


def test_a_newer_processing_takes_the_place_of_the_older(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE)
    run(faulty)
    put(replace(ONE, sequence=1, baseline="05.10", sensed=ONE.sensing_time, seed=9))
    assert run(faulty).downloaded == 1
    assert set(files(tmp_path / "out")) == {"32ULA_20220501_1.png", "manifest.jsonl"}


def test_empty_metadata_is_corrupt(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    corrupted(put, extra={"metadata.xml": b""})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert "it is empty" in entries(tmp_path / "out")[ONE.name].reason
