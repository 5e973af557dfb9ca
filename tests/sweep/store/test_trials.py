"""The typed view of a trial reads what any version stored, and nothing before it is asked."""

import time

import optuna
import pytest
from optuna.trial import TrialState

from sweep.store.trials import TrialView
from sweep.study import load_study
from tests.sweep.report.synthetic import made_trial


def test_a_trial_without_attributes_has_a_value_for_everything() -> None:
    trial = made_trial(7, state=TrialState.RUNNING)
    assert (trial.phase, trial.arm, trial.outcome, trial.reason) == ("explore", "", "unfinished", "")
    assert (trial.root, trial.retries, trial.retry_of, trial.next_attempt) == (7, 0, None, None)
    assert (trial.settings, trial.run_id, trial.run_before, trial.seed) == ({}, "", (None, None), None)
    assert (trial.border_at, trial.border_distance, trial.objective) == ((), None, None)
    assert made_trial(7).outcome == "unknown"


def test_what_a_phase_sets_comes_before_a_parameter() -> None:
    trial = made_trial(0, params={"epochs": 3, "optim.lr": 0.1}, settings={"epochs": 12})
    assert (trial.value("epochs"), trial.lr, trial.number_of("epochs")) == (12, 0.1, 12.0)
    assert trial.number_of("no.such") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "text", None])
def test_a_quantity_is_a_finite_number_or_none(value: object) -> None:
    assert made_trial(0, attrs={"stability/x": value}).number_of("stability/x") is None


def test_the_plan_names_the_arm_of_a_trial_that_does_not() -> None:
    plan = load_study("depth_study").plan("smoke")
    stored = made_trial(0, params={"model.encoder_depth": 4, "model.decoder_depth": 4}).stored
    assert TrialView(stored, plan).arm == "depth 4"
    assert TrialView(stored, plan).group == ("explore", "")


def test_ten_thousand_views_cost_next_to_nothing() -> None:
    trial = made_trial(0, settings={"epochs": 12}).stored
    started = time.process_time()
    views = [TrialView(trial) for _ in range(10_000)]
    assert sum(view.is_explored for view in views) == 10_000
    assert time.process_time() - started < 0.2


def test_a_running_trial_is_read_as_the_store_has_it() -> None:
    from sweep.store.optuna_internals import frozen

    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("phase", "confirm")
    assert TrialView(frozen(trial)).phase == "confirm"
