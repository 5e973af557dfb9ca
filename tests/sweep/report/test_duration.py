"""Durations in the unit that a reader would choose."""

import pytest

from sweep.report.duration import in_words, part_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 seconds"),
        (119, "119 seconds"),
        (120, "2.0 minutes"),
        (252, "4.2 minutes"),
        (3000, "50 minutes"),
        (3600, "1.0 hours"),
        (90_000, "25 hours"),
    ],
)
def test_seconds_below_two_minutes_and_minutes_below_an_hour(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_part_has_the_unit_of_the_whole() -> None:
    assert part_in_words(30, 300) == "0.5 of 5.0 minutes"
