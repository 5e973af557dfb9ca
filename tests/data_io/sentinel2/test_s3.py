"""Refusals and failures of single requests, against moto's server behind a proxy that injects them."""

from pathlib import Path

from bucket import ONE, TWO
from conftest import Fetch, Put, entries, images
from proxy import Exchange, Proxy


def test_a_refusal_of_one_scene_leaves_the_others_alone(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(403, "AccessDenied")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "--requester-pays" in report.failures[0]
    assert f"{ONE.root}R60m/TCI.jp2" in report.failures[0]


def test_a_listed_image_that_is_gone_is_missing_until_it_comes_back(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(404, "NoSuchKey")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "404 NoSuchKey" in entries(tmp_path / "out")[ONE.name].reason
    faulty.clear()
    assert run(faulty).decisions == {"kept": 2}


def test_every_request_may_be_asked_to_slow_down_once(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(lambda exchange: (exchange.count == 0 and exchange.error(503, "SlowDown")) or None)
    report = run(faulty)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_a_server_error_is_retried_and_reported_when_it_stays(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(500, "InternalError")))
    report = run(faulty, attempts=2)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "500 InternalError" in report.failures[0]
    faulty.before[0] = images(lambda exchange: exchange.count % 2 or exchange.error(500, "InternalError"))
    assert run(faulty).decisions == {"kept": 2}


def test_a_request_that_times_out_is_tried_again(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def slow_once(exchange: Exchange) -> None:
        exchange.silent = exchange.count == 0

    faulty.faults.append(images(slow_once))
    report = run(faulty, read_timeout=1.5)
    assert (report.decisions, report.failures) == ({"kept": 2}, [])


def test_a_request_that_always_times_out_is_reported(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)

    def slow(exchange: Exchange) -> None:
        exchange.silent = True

    faulty.faults.append(images(slow))
    report = run(faulty, read_timeout=1.5, attempts=1)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "no answer in time" in report.failures[0]


def test_metadata_that_is_cut_short_is_read_again(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE)

    def cut_once(exchange: Exchange) -> None:
        if exchange.path.endswith(("metadata.xml", "tileInfo.json")) and exchange.count == 0:
            exchange.cut = 100

    faulty.faults.append(cut_once)
    assert run(faulty).decisions == {"kept": 1}


def test_an_archived_object_is_told_from_a_refusal(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE, TWO)
    faulty.before.append(images(lambda exchange: exchange.error(403, "InvalidObjectState")))
    report = run(faulty)
    assert report.decisions == {"kept": 1, "missing": 1}
    assert "archive class" in report.failures[0]
    assert "--requester-pays" not in report.failures[0]
