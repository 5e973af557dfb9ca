"""What is listed, and what happens when a bucket or every read of it is refused."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from bucket import BUCKET, ONE, TWO
from conftest import SECRET, Fetch, Put
from proxy import Proxy

from data_io.errors import DataError


@pytest.mark.parametrize(
    ("first", "last", "months", "kept"),
    [
        ("2022-03-01", "2022-10-11", range(3, 11), 4),
        ("2022-03-11", "2022-03-11", range(3, 4), 1),
        ("2022-02-01", "2022-02-28", range(2, 3), 1),
    ],
)
def test_the_months_of_a_period_are_listed_and_its_days_are_read(
    faulty: Proxy, put: Put, run: Fetch, first: str, last: str, months: range, kept: int
) -> None:
    days = [date(2022, month, day) for month, day in ((2, 28), (3, 1), (3, 11), (10, 1), (10, 11), (10, 12))]
    put(*[replace(ONE, day=day) for day in days])
    assert run(faulty, first=first, last=last).decisions == {"kept": kept}
    assert sorted(faulty.listed()) == sorted(f"tiles/32/U/LA/2022/{month}/" for month in months)
    assert not any("/10/12/" in path for _, path, _ in faulty.log)


def test_a_period_may_reach_into_other_years(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(*[replace(ONE, day=day) for day in (date(2021, 11, 30), date(2021, 12, 31), date(2023, 1, 1))])
    assert run(faulty, first="2021-12-01", last="2023-01-31").decisions == {"kept": 2}
    assert len(faulty.listed()) == 14


def test_a_square_without_scenes_is_no_failure(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(ONE)
    report = run(faulty, squares="32ULA,32UPA")
    assert (report.decisions, report.failures) == ({"kept": 1}, [])


def test_finding_nothing_at_all_is_no_failure(faulty: Proxy, run: Fetch) -> None:
    report = run(faulty)
    assert (report.decisions, report.downloaded, report.failures) == ({}, 0, [])


def test_a_listing_of_more_than_1000_keys_is_read_to_its_end(faulty: Proxy, put: Put, run: Fetch) -> None:
    from moto.s3.models import s3_backends

    put(ONE, TWO)
    (account,) = [each for each in s3_backends.values() if BUCKET in each["aws"].buckets]
    for i in range(1100):  # through HTTP it takes seconds
        account["aws"].put_object(BUCKET, f"{ONE.root}auxiliary/{i}", b"")
    assert run(faulty).decisions == {"kept": 2}


@pytest.mark.parametrize("signed", [False, True])
def test_a_refused_listing_says_which_options_to_try_and_no_secret(
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


def test_a_bucket_that_refuses_every_read_is_given_up_at_once(faulty: Proxy, put: Put, run: Fetch) -> None:
    put(*[replace(ONE, day=date(2022, 5, day)) for day in range(1, 31)])
    faulty.before.append(lambda exchange: exchange.is_list or exchange.error(403, "AccessDenied"))
    with pytest.raises(DataError, match="--requester-pays"):
        run(faulty)
    assert len(faulty.log) < 40


def test_a_bucket_that_does_not_exist_is_one_sentence(faulty: Proxy, run: Fetch) -> None:
    faulty.before.append(lambda exchange: exchange.error(404, "NoSuchBucket"))
    with pytest.raises(DataError, match="404 NoSuchBucket"):
        run(faulty)


def test_a_server_that_cannot_be_reached_is_named(run: Fetch) -> None:
    report = run("http://127.0.0.1:9", attempts=1)
    assert "no connection to http://127.0.0.1:9" in report.failures[0]
