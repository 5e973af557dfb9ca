"""The typed view of a trial reads what any version stored, and nothing before it is asked."""

from typing import cast

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

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


class Watched:
    """A stored trial that notes what is read of it."""

    def __init__(self, stored: FrozenTrial) -> None:
        self.stored, self.read = stored, list[str]()

    def __getattr__(self, name: str) -> object:
        self.read.append(name)
        return getattr(self.stored, name)


def test_a_view_reads_of_a_trial_what_it_is_asked_and_nothing_before() -> None:
    """So that views of ten thousand trials cost little, whatever a trial holds."""
    watched = Watched(made_trial(0, settings={"epochs": 12}).stored)
    view = TrialView(cast(FrozenTrial, watched))
    assert watched.read == []
    assert view.is_explored
    assert set(watched.read) == {"user_attrs"}
    assert len(watched.read) <= 2


def test_a_running_trial_is_read_as_the_store_has_it() -> None:
    from sweep.store.optuna_internals import frozen

    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("phase", "confirm")
    assert TrialView(frozen(trial)).phase == "confirm"
