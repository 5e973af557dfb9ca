"""Phases decide from the trials in the store alone."""

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from studies.base import SMOKE
from sweep.engine.agenda import explore_total, next_request, remaining
from sweep.recovery import attempts
from sweep.search.explore import Explore
from sweep.search.request import Phase, Request
from sweep.search.sampling import search_space, suggest
from sweep.store.trials import TrialView
from sweep.study import Arm, FloatAxis, IntAxis, Plan


@pytest.fixture
def plan() -> Plan:
    return Plan(
        base=SMOKE,
        axes=(
            IntAxis(path="model.encoder_depth", low=2, high=8),
            FloatAxis(path="optim.lr", low=1e-5, high=1e-1, log=True),
        ),
        arms=tuple(Arm(name=f"depth {d}", fixed={"model.encoder_depth": d}) for d in (2, 4)),
        trials=6,
    )


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}")


class Once(Phase):
    """A second phase of one trial."""

    name = "once"

    def next(self, trials: Sequence[optuna.trial.FrozenTrial]) -> Request | None:
        return Request(self.name, settings={"epochs": 1}, seed=7) if self.remaining(trials) else None

    def remaining(self, trials: Sequence[optuna.trial.FrozenTrial]) -> int:
        return int(not any(TrialView(trial).phase == self.name for trial in trials))


def _claim(plan: Plan, study: optuna.Study) -> optuna.Trial:
    claimed = attempts.claim(study, "me")
    assert claimed is not None
    trial = optuna.Trial(study, claimed._trial_id)
    suggest(trial, search_space(plan))
    return trial


def test_arms_take_turns_and_the_budget_is_kept(plan: Plan, study: optuna.Study) -> None:
    explore = Explore(plan, total=6)
    while request := explore.next(study.get_trials()):
        request.enqueue(study)
        trial = _claim(plan, study)
        assert trial.params["model.encoder_depth"] == plan.arms[trial.number % 2].fixed["model.encoder_depth"]
        study.tell(trial, 1.0)
    assert len(study.trials) == 6
    assert explore.remaining(study.trials) == 0


def test_an_empty_queue_makes_up_no_trial(plan: Plan, study: optuna.Study) -> None:
    assert attempts.claim(study, "me") is None
    assert study.trials == []


def test_a_phase_waits_for_the_one_before_it(plan: Plan, study: optuna.Study) -> None:
    both = [Explore(plan, total=1), Once()]
    first = next_request(both, study.trials)
    assert first is not None
    assert first.phase == "explore"
    assert remaining(both, study.trials) == 2
    first.enqueue(study)
    assert next_request(both, study.trials) is None
    trial = _claim(plan, study)
    assert next_request(both, study.trials) is None
    study.tell(trial, 1.0)
    second = next_request(both, study.trials)
    assert second is not None
    assert second.phase == "once"
    second.enqueue(study)
    trial = _claim(plan, study)
    assert (TrialView(trial).settings, trial.user_attrs["seed"]) == ({"epochs": 1}, 7)
    study.tell(trial, 1.0)
    assert next_request(both, study.trials) is None
    assert remaining(both, study.trials) == 0


def test_a_second_attempt_is_of_the_same_phase_and_takes_no_turn(plan: Plan, study: optuna.Study) -> None:
    explore = Explore(plan, total=2)
    request = explore.next(study.trials)
    assert request is not None
    request.enqueue(study)
    lost = _claim(plan, study)
    assert attempts.fail(study, lost.number, attempts.Ending("lost", "gone", attempts.Again.COUNTED), 2)
    again = study.trials[-1]
    assert again.state is TrialState.WAITING
    assert (TrialView(again).phase, again.user_attrs["arm"]) == ("explore", "depth 2")
    assert "outcome" not in again.user_attrs
    assert _claim(plan, study).params == lost.params
    following = explore.next(study.trials)
    assert following is not None
    assert following.attrs["arm"] == "depth 4"


def test_without_a_number_an_interrupted_budget_is_finished(plan: Plan, study: optuna.Study) -> None:
    assert explore_total(study, None, plan.trials) == 6
    study.set_user_attr("explore_total", 6)
    for _ in range(4):
        Request("explore").enqueue(study)
        study.tell(_claim(plan, study), 1.0)
    assert explore_total(study, None, plan.trials) == 6
    assert explore_total(study, 3, plan.trials) == 7
    Request("explore").enqueue(study)
    assert explore_total(study, 3, plan.trials) == 7
    study.set_user_attr("explore_total", 5)
    study.tell(_claim(plan, study), 1.0)
    assert explore_total(study, None, plan.trials) == 11
