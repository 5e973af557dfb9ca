"""The failures that a fetch survives, each against moto's server behind a proxy that makes them."""

import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bucket import BUCKET, FakeScene, jp2, metadata
from conftest import SECRET, Fetch, entries, files
from proxy import Exchange, Proxy

from data_io.errors import DataError

Put = Callable[..., None]
ONE, TWO = FakeScene(seed=1), FakeScene(day=date(2022, 5, 11), seed=2)
Moto = tuple[str, Any]


def images(fault: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """The fault, for the image of scene ONE only."""

    def chosen(exchange: Exchange) -> None:
        if exchange.is_image() and "/5/1/0/" in exchange.path:
            fault(exchange)

    return chosen


def corrupted(put: Put, **changes: Any) -> None:
    put(replace(ONE, **changes), TWO)


def test_tile_info_says_0_cloud_where_the_xml_says_99(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(FakeScene(cloud="99.9"))
    assert run(faulty).decisions == {"cloudy": 1}


def test_old_quality_names_and_the_decoy(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(FakeScene(baseline="02.05", cloud="4"))
    assert run(faulty).decisions == {"kept": 1}


def test_scientific_notation(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(FakeScene(cloud="1.5e-05", nodata="9.9e+01"))
    run(faulty)
    entry = entries(tmp_path / "out")[ONE.name]
    assert (entry.decision, entry.cloud_percent, entry.nodata_percent) == ("nodata", 1.5e-05, 99)


def test_exactly_5_passes_and_5_000001_does_not(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(replace(ONE, cloud="5.0", nodata="5.0"), replace(TWO, cloud="5.000001"))
    put(replace(TWO, sequence=1, nodata="5.000001"))
    run(faulty)
    found = {name: entry.decision for name, entry in entries(tmp_path / "out").items()}
    assert found == {ONE.name: "kept", TWO.name: "cloudy", "32ULA_20220511_1": "nodata"}


def test_missing_quality_or_nodata(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
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


def test_nodata_near_100_with_cloud_0(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(FakeScene(cloud="0.000000", nodata="99.997"))
    assert run(faulty).decisions == {"nodata": 1}


def test_tile_info_missing(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(replace(ONE, without=frozenset({"tileInfo.json"})), replace(ONE, sequence=1, sensed=ONE.sensing_time))
    assert run(faulty).decisions == {"duplicate": 1, "kept": 1}  # 3 and 6 decimals are the same time
    entry = entries(tmp_path / "out")[ONE.name]
    assert (entry.sensing_time, entry.baseline) == (ONE.sensing_time, "04.00")
    assert max(faulty.received("metadata.xml").values()) <= 16384


def test_months_out_of_order(faulty: Proxy, put: Put, run: Fetch) -> None:
    days = [date(2022, month, day) for month, day in ((2, 28), (3, 1), (3, 11), (10, 1), (10, 11), (10, 12))]
    put(*[replace(ONE, day=day) for day in days])
    report = run(faulty, first="2022-03-01", last="2022-10-11")
    assert report.decisions == {"kept": 4}
    listed = faulty.listed()
    assert {f"tiles/32/U/LA/2022/{month}/" for month in range(3, 11)} <= set(listed)
    whole = [prefix for prefix in listed if prefix.startswith("tiles/32/U/LA/2022/10/")]
    assert sorted(whole) == [f"tiles/32/U/LA/2022/10/{rest}" for rest in ("", "1/", "11/")]  # never 12
    assert not any("/10/12/" in path for _, path, _ in faulty.log)


def test_sequences_0_to_3(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
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


def test_the_image_missing(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
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


def test_empty_square(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE)
    report = run(faulty, squares="32ULA,32UPA")
    assert (report.decisions, report.failures) == ({"kept": 1}, [])


def test_nothing_found_at_all(faulty: Proxy, run: Fetch) -> None:
    report = run(faulty)
    assert (report.decisions, report.downloaded, report.failures) == ({}, 0, [])


def test_more_than_1000_keys_in_one_listing(faulty: Proxy, put: Put, run: Fetch) -> None:
    from moto.s3.models import s3_backends

    put(ONE, TWO)
    (account,) = [each for each in s3_backends.values() if BUCKET in each["aws"].buckets]
    for i in range(1100):  # through HTTP it takes seconds
        account["aws"].put_object(BUCKET, f"{ONE.root}auxiliary/{i}", b"")
    assert run(faulty).decisions == {"kept": 2}


@pytest.mark.parametrize("signed", [False, True])
def test_403_with_and_without_credentials(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    put(ONE)
    faulty.before.append(lambda exchange: exchange.error(403, "AccessDenied"))
    if signed:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(DataError) as raised:
        run(faulty)
    message = str(raised.value)
    assert "403 AccessDenied" in message
    assert "--requester-pays" in message
    assert "--unsigned" in message
    assert "--profile" in message
    assert "AKIAEXAMPLE" not in message
    assert SECRET not in message
    assert not (tmp_path / "out").exists()


def test_403_on_one_scene_only(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(403, "AccessDenied")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "--requester-pays" in report.failures[0]
    assert f"{ONE.root}R60m/TCI.jp2" in report.failures[0]


def test_403_on_every_read_ends_at_once(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(*[replace(ONE, day=date(2022, 5, day)) for day in range(1, 31)])
    faulty.before.append(lambda exchange: exchange.is_list or exchange.error(403, "AccessDenied"))
    with pytest.raises(DataError, match="--requester-pays"):
        run(faulty)
    assert len(faulty.log) < 40


def test_404_of_an_image_that_was_listed(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(404, "NoSuchKey")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "404 NoSuchKey" in entries(tmp_path / "out")[ONE.name].reason
    faulty.clear()
    assert run(faulty).decisions == {"kept": 2}


def test_no_such_bucket(faulty: Proxy, run: Fetch) -> None:
    faulty.before.append(lambda exchange: exchange.error(404, "NoSuchBucket"))
    with pytest.raises(DataError, match="404 NoSuchBucket"):
        run(faulty)


def test_slow_down_burst(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(lambda exchange: (exchange.count == 0 and exchange.error(503, "SlowDown")) or None)
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_500_once_and_then_always(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(500, "InternalError")))
    report = run(faulty, attempts=2)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "500 InternalError" in report.failures[0]
    faulty.before[0] = images(lambda exchange: exchange.count % 2 or exchange.error(500, "InternalError"))
    assert run(faulty).decisions == {"kept": 2}


def test_timeout(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def slow_once(exchange: Exchange) -> None:
        exchange.delay = 1.5 if exchange.count == 0 else 0

    faulty.faults.append(images(slow_once))
    report = run(faulty, read_timeout=0.7)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_timeout_always(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def slow(exchange: Exchange) -> None:
        exchange.delay = 1.5

    faulty.faults.append(images(slow))
    report = run(faulty, read_timeout=0.7, attempts=1)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "no answer in time" in report.failures[0]


def test_body_truncated_once(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def cut_once(exchange: Exchange) -> None:
        exchange.cut = 1000 if exchange.count == 0 else None

    faulty.faults.append(images(cut_once))
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])
    received = faulty.received(f"{ONE.root}R60m/TCI.jp2")
    assert list(received.values()) == [len(jp2(1))]  # it goes on from where it broke


def test_body_truncated_always(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(ONE, TWO)

    def cut(exchange: Exchange) -> None:
        exchange.cut = 0

    faulty.faults.append(images(cut))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "run the command again" in report.failures[0]
    faulty.clear()
    assert run(faulty).decisions == {"kept": 2}


def test_metadata_truncated_once(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE)

    def cut_once(exchange: Exchange) -> None:
        if exchange.path.endswith(("metadata.xml", "tileInfo.json")) and exchange.count == 0:
            exchange.cut = 100

    faulty.faults.append(cut_once)
    assert run(faulty).decisions == {"kept": 1}


def test_zero_bytes(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": b""})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert entries(tmp_path / "out")[ONE.name].reason == "the object has zero bytes"


def test_zero_bytes_of_metadata(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    corrupted(put, extra={"metadata.xml": b""})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert "it is empty" in entries(tmp_path / "out")[ONE.name].reason


def test_an_xml_error_body_saved_as_jp2(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert "XML or HTML document" in entries(tmp_path / "out")[ONE.name].reason


def test_an_xml_error_body_with_status_200(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def error_once(exchange: Exchange) -> None:
        if exchange.count == 0:
            exchange.body = b"<Error><Code>SlowDown</Code></Error>".ljust(len(exchange.body))

    faulty.faults.append(images(error_once))
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_the_etag_changed_in_mid_resume(
    faulty: Proxy, put: Put, run: Fetch, moto: Moto, tmp_path: Path
) -> None:
    put(ONE)
    newer = jp2(77)

    def replace_then_cut(exchange: Exchange) -> None:
        if exchange.count == 0:
            exchange.cut = 1000
            moto[1].put_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2", Body=newer, ACL="public-read")

    faulty.faults.append(images(replace_then_cut))
    assert run(faulty).decisions == {"kept": 1}
    assert entries(tmp_path / "out")[ONE.name].bytes == len(newer)
    assert run(faulty).downloaded == 0


def test_an_object_replaced_after_a_fetch_is_fetched_again(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE)
    run(faulty)
    put(replace(ONE, seed=8))
    assert (run(faulty).downloaded, run(faulty).downloaded) == (1, 0)


def test_a_complete_partial_file(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto) -> None:
    put(ONE)
    etag = moto[1].head_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2")["ETag"].strip('"')
    work = tmp_path / "out" / ".fetch"
    work.mkdir(parents=True)
    (work / f"{ONE.name}+{etag}.partial").write_bytes(jp2(1))
    assert run(faulty).decisions == {"kept": 1}
    assert faulty.received("TCI.jp2") == {}
    assert not list(work.glob("*.partial"))


def test_416_past_the_end(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto) -> None:
    put(ONE)
    etag = moto[1].head_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2")["ETag"].strip('"')
    work = tmp_path / "out" / ".fetch"
    work.mkdir(parents=True)
    (work / f"{ONE.name}+{etag}.partial").write_bytes(jp2(1)[:500])

    def past_end(exchange: Exchange) -> None:
        if "range" in exchange.headers:
            exchange.error(416, "InvalidRange")

    faulty.before.append(images(past_end))
    assert run(faulty).decisions == {"kept": 1}


def test_a_partial_file_longer_than_the_object(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto
) -> None:
    put(ONE)
    etag = moto[1].head_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2")["ETag"].strip('"')
    work = tmp_path / "out" / ".fetch"
    work.mkdir(parents=True)
    (work / f"{ONE.name}+{etag}.partial").write_bytes(jp2(1) + b"more")
    assert run(faulty).decisions == {"kept": 1}


def test_a_server_that_ignores_ranges(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    whole = {f"/{BUCKET}/{key}": content for scene in (ONE, TWO) for key, content in scene.objects()}

    def ignore(exchange: Exchange) -> None:
        if "range" in exchange.headers and exchange.path in whole:
            exchange.status, exchange.body = 200, whole[exchange.path]
            exchange.answer.pop("Content-Range", None)

    def cut_once(exchange: Exchange) -> None:
        if exchange.count == 0:
            exchange.cut = 1000

    faulty.faults += [ignore, images(cut_once)]
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


@pytest.mark.parametrize("part", [5 << 20, 6_000_001])
def test_multipart_etag(faulty: Proxy, put: Put, run: Fetch, moto: Moto, tmp_path: Path, part: int) -> None:
    put(ONE)
    key, content = f"{ONE.root}R60m/TCI.jp2", jp2(1) + bytes(6_500_000)  # what follows the image is ignored
    upload = moto[1].create_multipart_upload(Bucket=BUCKET, Key=key, ACL="public-read")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), part), 1):
        done = moto[1].upload_part(
            Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=content[start : start + part]
        )
        parts.append({"ETag": done["ETag"], "PartNumber": number})
    moto[1].complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert run(faulty).decisions == {"kept": 1}
    entry = entries(tmp_path / "out")[ONE.name]
    assert (entry.etag or "").endswith("-2")
    assert entry.reason == f"verified by {'multipart md5' if part == 5 << 20 else 'length'}"
    assert run(faulty).downloaded == 0


def test_invalid_object_state(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(403, "InvalidObjectState")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "archive class" in report.failures[0]
    assert "--requester-pays" not in report.failures[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jp2(1, side=200), "200 x 200 pixels, not 192 x 192"),
        (jp2(1, mode="L"), "pixels are L, not RGB"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 500, "no JPEG2000 file"),
        (jp2(1)[: len(jp2(1)) // 2], "cannot be decoded"),
    ],
    ids=["size", "grey", "png", "half"],
)
def test_an_image_of_the_wrong_size_or_not_rgb(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, content: bytes, reason: str
) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": content})
    report = run(faulty)
    assert report.decisions == {"corrupt": 1, "kept": 1}
    assert reason in entries(tmp_path / "out")[ONE.name].reason
    assert set(files(tmp_path / "out")) == {f"{TWO.name}.png", "manifest.jsonl"}
    faulty.clear()
    again = run(faulty)
    assert (again.decisions, again.failures) == ({"corrupt": 1, "kept": 1}, [])
    assert faulty.received("TCI.jp2") == {}
    assert len(run(faulty, again=True).failures) == 1


def test_a_corrupt_middle_with_the_right_length(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    put(ONE, TWO)

    def scramble(exchange: Exchange) -> None:
        middle = len(exchange.body) // 2
        exchange.body = exchange.body[:middle] + bytes(64) + exchange.body[middle + 64 :]

    def scramble_once(exchange: Exchange) -> None:
        if exchange.count == 0:
            scramble(exchange)

    faulty.faults.append(images(scramble))
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert "MD5" in entries(tmp_path / "out")[ONE.name].reason
    faulty.clear()
    faulty.faults.append(images(scramble_once))
    assert run(faulty, again=True).decisions == {"kept": 2}


def test_disk_full(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(*[replace(ONE, day=date(2022, 5, day), seed=day) for day in range(1, 13)])

    def full(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("data_io.sentinel2.raster.tempfile.mkstemp", full)
        report = run(faulty, threads=2)
    assert "takes no more (No space left on device): make room" in report.failures[0]
    assert "not tried" in report.failures[-1]
    assert len(faulty.received("TCI.jp2")) < 8  # it does not go on for nothing
    assert not list((tmp_path / "out").glob("*.png"))
    assert run(faulty).decisions == {"kept": 12}


def test_a_folder_that_cannot_be_written_is_one_sentence(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--out"):
        run(faulty, out=tmp_path / "file" / "out")
    with pytest.raises(DataError, match="is a file"):
        run(faulty, out=tmp_path / "file")


def test_no_server_at_the_endpoint(run: Fetch) -> None:
    report = run("http://127.0.0.1:9", attempts=1)
    assert "no connection to http://127.0.0.1:9" in report.failures[0]


def test_images_decoded_in_other_processes(
    faulty: Proxy, put: Put, run: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ONE, TWO)
    report = run(faulty, processes=2)
    assert report.decisions == {"kept": 2}
