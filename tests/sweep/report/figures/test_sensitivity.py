"""Learning-rate sensitivity: the mean excess loss over the rates around the best."""

import pytest

from sweep.report.figures.sensitivity import rate_sensitivity, sensitivity
from tests.sweep.report.figures.searches import ALONE, ARMS, of_arm, parabola, trial

FIRST = {"border/first_loss": 1000.0}


def test_it_is_the_mean_excess_over_thirds_of_a_decade_with_diverged_at_the_first_loss() -> None:
    rates = (1e-3, 1e-3, 1e-2, 1e-1)
    values = (300.0, 320.0, None, None)  # the last lies two decades away: out of the range
    trials = [
        trial(k, rate, value, attrs=FIRST) for k, (rate, value) in enumerate(zip(rates, values, strict=True))
    ]
    trials.append(trial(9, 1e-4, 400.0, attrs=FIRST))
    found = sensitivity("", trials)
    assert found is not None
    assert found.excess == pytest.approx(((0 + 20) / 2 + 700 + 100) / 3)
    assert (found.trials, found.diverged, len(found.thirds), found.start) == (4, 1, 3, 1000.0)


def test_no_loss_counts_for_more_than_that_at_initialisation() -> None:
    """So a run that ended ten times worse than it began is as bad as one that diverged."""
    bad = [
        sensitivity("", [*parabola(2e-3, attrs=FIRST), trial(9, 2e-2, v, attrs=FIRST)]) for v in (1e4, None)
    ]
    assert bad[0] is not None
    assert bad[1] is not None
    assert bad[0].excess == bad[1].excess


def test_where_no_first_loss_is_known_a_divergence_counts_as_the_worst_finite_one() -> None:
    found = sensitivity("", parabola(2e-3))
    assert found is not None
    assert not found.start_known
    assert found.start == max(t.objective for t in parabola(2e-3) if t.objective is not None)
    drawn = rate_sensitivity(parabola(2e-3), ALONE)
    assert drawn is not None
    assert "worst finite" in drawn.caption


def test_a_narrower_optimum_is_more_sensitive() -> None:
    trials = of_arm(2, parabola(2e-3, wide=1.0)) + of_arm(8, parabola(2e-3, wide=0.5, first=9))
    found = rate_sensitivity(trials, ARMS)
    assert found is not None
    wide, narrow = found.numbers["groups"]
    assert narrow["relative"] > wide["relative"]
    assert found.finding.startswith("Most sensitive to its rate is depth 8")


def test_a_grid_of_three_rates_is_enough_and_one_rate_is_not() -> None:
    grid = [trial(k, (3e-4, 1e-3, 3e-3)[k % 3], 300.0 + 10 * k) for k in range(6)]
    assert sensitivity("", grid) is not None
    assert sensitivity("", [trial(k, 1e-3, 300.0 + k) for k in range(6)]) is None
    assert rate_sensitivity([trial(k, 1e-3, None) for k in range(6)], ALONE) is None
