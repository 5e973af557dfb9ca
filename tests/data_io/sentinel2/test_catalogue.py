"""Months, days and sensing times, as catalogues compare them."""

from datetime import date, timedelta

import pytest

from data_io.sentinel2.catalogue import months, sensing_second
from data_io.sentinel2.metadata import MetadataError


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2022, 5, 3), date(2022, 5, 3)),
        (date(2022, 5, 1), date(2022, 5, 31)),
        (date(2019, 12, 31), date(2020, 3, 1)),
        (date(2020, 2, 1), date(2020, 2, 29)),
        (date(2021, 1, 15), date(2023, 6, 14)),
    ],
)
def test_the_days_of_the_months_are_those_of_the_period(first: date, last: date) -> None:
    days: list[date] = []
    for month, some in months(first, last):
        following = (month + timedelta(days=31)).replace(day=1)
        whole = [month + timedelta(days=i) for i in range((following - month).days)]
        assert some is None or len(some) < len(whole)
        days += whole if some is None else sorted(some)
    assert days == [first + timedelta(days=i) for i in range((last - first).days + 1)]


def test_one_moment_is_one_second_however_it_is_written() -> None:
    same = (
        "2022-05-01T10:30:19.283082Z",
        "2022-05-01T10:30:19.283Z",
        "2022-05-01T10:30:19",
        "2022-05-01T12:30:19.9+02:00",
    )
    assert {sensing_second(text) for text in same} == {"2022-05-01T10:30:19Z"}


def test_what_is_not_a_time_is_refused() -> None:
    with pytest.raises(MetadataError, match="'yesterday'"):
        sensing_second("yesterday")
