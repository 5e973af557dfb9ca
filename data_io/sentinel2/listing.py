"""What to list of a bucket whose folders are squares, months and days."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from data_io.sentinel2.s3 import Store
from data_io.sentinel2.squares import Square


def squares_under(store: Store, prefix: str, area: Square) -> list[Square]:
    """The squares that have a folder under `prefix`, the folder of a zone and band."""
    names = [folder.rstrip("/").rpartition("/")[2] for folder in store.folders(prefix)]
    return [Square(area.zone, area.band, name) for name in names if re.fullmatch("[A-Z]{2}", name)]


def months(first: date, last: date) -> Iterator[tuple[date, frozenset[date] | None]]:
    """Each month from `first` to `last`, both included, and its days in that period, or None for all days."""
    month = first.replace(day=1)
    while month <= last:
        following = (month + timedelta(days=31)).replace(day=1)
        begin, end = max(first, month), min(last, following - timedelta(days=1))
        whole = begin == month and end == following - timedelta(days=1)
        days = frozenset(begin + timedelta(days=i) for i in range((end - begin).days + 1))
        yield month, None if whole else days
        month = following
