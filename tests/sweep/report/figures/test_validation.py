"""Validation curves: a line a trial, a band a setting."""

from sweep.report.figures.validation import validation_curves
from sweep.store.trials import TrialView
from tests.sweep.report.figures.searches import ALONE, trial, with_curve


def confirming(seed: int, values: list[float]) -> TrialView:
    run = trial(2 * seed, 1e-3, values[-1], phase="confirm", arm="all", seed=seed)
    return with_curve(run, values)


def test_the_seeds_of_a_setting_make_a_band_and_their_median() -> None:
    runs = [confirming(seed, [500.0 + 10 * seed, 400.0 + seed]) for seed in range(3)]
    alone = with_curve(trial(1, 2e-3, 420.0), [600.0, 410.0, 420.0])
    found = validation_curves([*runs, alone], ALONE)
    assert found is not None
    (line,) = [trace for trace in found.figure.data if trace.name == "confirm, over seeds"]
    assert (list(line.x), list(line.y)) == ([1, 2], [510.0, 401.0])
    (band,) = [trace for trace in found.figure.data if trace.fill == "toself"]
    assert set(band.y) == {520.0, 500.0, 402.0, 400.0}
    (single,) = [trace for trace in found.figure.data if trace.name == "trial"]
    assert list(single.y) == [600.0, 410.0, 420.0, None]


def test_the_finding_says_how_many_were_still_improving() -> None:
    runs = [confirming(seed, [500.0, 400.0]) for seed in range(3)]
    early = with_curve(trial(1, 2e-3, 420.0), [600.0, 410.0, 420.0])
    found = validation_curves([*runs, early], ALONE)
    assert found is not None
    assert found.numbers["best_epoch_is_last"] == {"confirm": [3, 3], "explore": [0, 1]}
    assert found.finding.startswith(
        "The best epoch is the last in 3 of 3 confirming runs and 0 of 1 explored"
    )
    assert "more epochs may change the order" in found.finding


def test_a_diverged_trial_keeps_the_epochs_that_it_had() -> None:
    lost = with_curve(trial(1, 2e-3, None), [600.0, 800.0])
    found = validation_curves([lost], ALONE)
    assert found is not None
    assert [trace.name for trace in found.figure.data] == ["diverged"]
    assert not found.finding


def test_many_trials_are_thinned_and_none_without_epochs_are_drawn() -> None:
    many = [with_curve(trial(k, 1e-3 + 1e-6 * k, 300.0), [400.0] * 40 + [300.0]) for k in range(1_000)]
    found = validation_curves(many, ALONE)
    assert found is not None
    assert sum(len(trace.x) for trace in found.figure.data) < 10_000
    assert "200 of 1,000 trials are drawn" in found.caption
    assert validation_curves([trial(0, 1e-3, 300.0)], ALONE) is None
