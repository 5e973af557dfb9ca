"""Best objective so far against cost."""

from sweep.report.figures.progress import best_so_far, progress
from tests.sweep.report.figures.searches import ALONE, ARMS, of_arm, parabola, trial


def test_only_improvements_count_and_all_trials_cost() -> None:
    values = (500.0, None, 400.0, 450.0)
    trials = [trial(k, 1e-3, value, train_seconds=10.0) for k, value in enumerate(values)]
    found = progress("all", trials[::-1])
    assert found is not None
    assert [(row.trial, row.trials, row.seconds) for row in found.improvements] == [
        (0, 1, 10.0),
        (2, 3, 30.0),
    ]
    assert (found.trials, found.seconds) == (4, 40.0)
    assert found.gain == 1 - 400 / 500


def test_the_finding_has_trials_time_and_what_the_last_half_gained() -> None:
    trials = [trial(k, 1e-3, 500.0 - 50 * k, train_seconds=60.0) for k in range(4)]
    found = best_so_far(trials, ALONE)
    assert found is not None
    assert "4 of 4 trials and 4.0 of 4.0 minutes of training" in found.finding
    assert "22 % smaller" in found.finding
    assert found.numbers["best"] == 350.0


def test_each_arm_is_a_search_of_its_own() -> None:
    trials = of_arm(2, parabola(1e-2)) + of_arm(8, parabola(1e-4, first=9))
    found = best_so_far(trials, ARMS)
    assert found is not None
    gains = {row["arm"]: row["gain"] for row in found.numbers["arms"]}
    assert gains["depth 8"] == 0 < gains["depth 2"]
    assert found.notes == ["1 of 2 arms still improved in the last half of their trials."]


def test_without_a_finite_objective_or_a_second_trial_there_is_none() -> None:
    assert best_so_far([trial(k, 1e-3, None) for k in range(3)], ALONE) is None
    assert best_so_far([trial(0, 1e-3, 300.0)], ALONE) is None
