"""Downloads that are cut short, resumed, replaced or corrupted on their way."""

from dataclasses import replace
from pathlib import Path

import pytest
from bucket import BUCKET, ONE, TWO, jp2
from conftest import Fetch, Moto, Put, corrupted, entries, images
from proxy import Exchange, Proxy


def test_a_download_that_is_cut_short_continues_where_it_broke(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def cut_once(exchange: Exchange) -> None:
        exchange.cut = 1000 if exchange.count == 0 else None

    faulty.faults.append(images(cut_once))
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])
    received = faulty.received(f"{ONE.root}R60m/TCI.jp2")
    assert list(received.values()) == [len(jp2(1))]  # it goes on from where it broke


def test_a_download_that_is_always_cut_short_succeeds_in_a_later_fetch(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE, TWO)

    def cut(exchange: Exchange) -> None:
        exchange.cut = 0

    faulty.faults.append(images(cut))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "run the command again" in report.failures[0]
    faulty.clear()
    assert run(faulty).decisions == {"kept": 2}


def test_an_empty_object_is_corrupt(faulty: Proxy, put: Put, run: Fetch, tmp_path: Path) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": b""})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert entries(tmp_path / "out")[ONE.name].reason == "the object has zero bytes"


def test_an_error_document_with_status_200_is_not_taken_for_the_image(
    faulty: Proxy, put: Put, run: Fetch
) -> None:
    put(ONE, TWO)

    def error_once(exchange: Exchange) -> None:
        if exchange.count == 0:
            exchange.body = b"<Error><Code>SlowDown</Code></Error>".ljust(len(exchange.body))

    faulty.faults.append(images(error_once))
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_an_object_replaced_in_mid_download_is_downloaded_anew(
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


def test_a_finished_download_of_an_earlier_fetch_is_not_repeated(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto
) -> None:
    put(ONE)
    etag = moto[1].head_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2")["ETag"].strip('"')
    work = tmp_path / "out" / ".fetch"
    work.mkdir(parents=True)
    (work / f"{ONE.name}+{etag}.partial").write_bytes(jp2(1))
    assert run(faulty).decisions == {"kept": 1}
    assert faulty.received("TCI.jp2") == {}
    assert not list(work.glob("*.partial"))


def test_a_range_past_the_end_starts_the_download_again(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto
) -> None:
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


def test_a_partial_file_longer_than_the_object_is_thrown_away(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, moto: Moto
) -> None:
    put(ONE)
    etag = moto[1].head_object(Bucket=BUCKET, Key=f"{ONE.root}R60m/TCI.jp2")["ETag"].strip('"')
    work = tmp_path / "out" / ".fetch"
    work.mkdir(parents=True)
    (work / f"{ONE.name}+{etag}.partial").write_bytes(jp2(1) + b"more")
    assert run(faulty).decisions == {"kept": 1}


def test_a_server_that_ignores_ranges_is_no_obstacle(faulty: Proxy, put: Put, run: Fetch) -> None:
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
def test_the_etag_of_a_multipart_upload_is_verified_where_its_parts_are_common(
    faulty: Proxy, put: Put, run: Fetch, moto: Moto, tmp_path: Path, part: int
) -> None:
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


def test_a_wrong_checksum_is_corrupt_and_fetched_again_on_request(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
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
