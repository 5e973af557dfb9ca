"""Whole runs that do not end as the probes foretell are said to."""

from sweep.border.conflict import conflicts
from sweep.border.model import BorderRun
from tests.sweep.border.test_model import model

BORDERS = [-2.0, -2.2, -2.4, -2.6, -2.8]


def whole(column: int, below: float, crossed: tuple[bool, ...]) -> list[BorderRun]:
    """Runs of fresh seeds so far below the border."""
    x = BORDERS[column] - below
    return [BorderRun(column, 10 + seed, x, ended, 700, seed) for seed, ended in enumerate(crossed)]


def test_runs_that_break_far_below_the_border_are_a_conflict() -> None:
    (found,) = conflicts(model(BORDERS), whole(2, 0.6, (True, True, True)))
    assert (found.column, found.runs, found.crossed) == ("clip norm 10", 3, 3)
    assert found.expected < 0.5
    assert found.p < 0.01
    assert "3 of 3 whole runs crossed the nonfinite border" in str(found)


def test_runs_that_survive_far_above_it_are_one_too() -> None:
    (found,) = conflicts(model(BORDERS), whole(0, -0.6, (False, False, False)))
    assert found.expected > 2.5


def test_runs_that_end_as_foretold_are_none() -> None:
    assert conflicts(model(BORDERS), whole(2, 0.6, (False, False, False))) == []
    assert conflicts(model(BORDERS), whole(2, 0.0, (True, False, True))) == []
    assert conflicts(model(BORDERS), []) == []
