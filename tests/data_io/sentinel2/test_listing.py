"""The months and days of a period are listed, and no others."""

from datetime import date, timedelta

import pytest

from data_io.sentinel2.listing import months


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
