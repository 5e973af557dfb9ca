"""Share of the trials that diverged."""

import pytest

from sweep.report.figures.infeasible import Share, share_of_infeasible
from tests.sweep.report.figures.searches import ALONE, ARMS, of_arm, parabola, trial
from tests.sweep.report.synthetic import changed


def test_the_interval_is_wilsons() -> None:
    """Wilson's for 1 of 10: Newcombe 1998 gives .018 to .404."""
    low, high = Share("", 1, 10).interval
    assert (low, high) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert Share("", 0, 5).interval[0] == pytest.approx(0)


def test_shares_are_by_arm_and_by_rate_and_add_up() -> None:
    trials = of_arm(2, parabola(2e-3)) + of_arm(8, [trial(9 + k, 1e-3, 300.0) for k in range(4)])
    found = share_of_infeasible(trials, ARMS)
    assert found is not None
    assert {row["label"]: row["diverged"] for row in found.numbers["by_group"]} == {
        "depth 2": 2,
        "depth 8": 0,
    }
    rates = found.numbers["by_rate"]
    assert (sum(r["diverged"] for r in rates), sum(r["trials"] for r in rates)) == (2, 13)
    assert found.finding.startswith("2 of 13 explored trials diverged (15 %)")
    assert "depth 2 (2 of 9)" in found.finding


def test_confirming_runs_are_told_apart() -> None:
    runs = [changed(t, phase="confirm", arm="all", outcome=t.outcome) for t in parabola(2e-3)]
    found = share_of_infeasible(runs, ALONE)
    assert found is not None
    assert found.numbers["explored"]["trials"] == 0
    assert "2 of 9 confirming runs diverged" in found.finding


def test_it_says_nothing_where_nothing_diverged() -> None:
    assert share_of_infeasible([trial(0, 1e-3, 300.0)], ALONE) is None
