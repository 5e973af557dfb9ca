"""Sensing times, as catalogues compare them."""

import pytest

from data_io.sentinel2.catalogue import sensing_second
from data_io.sentinel2.metadata import MetadataError


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
