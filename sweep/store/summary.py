"""A study in a few numbers: counts, outcomes and the best trial."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.store.study_view import StudyView
from sweep.store.trials import BLOCK, TrialView, views


@dataclass(frozen=True)
class Best:
    trial: int
    value: float
    params: dict[str, Any]
    run_id: str
    seed: int | None


@dataclass(frozen=True)
class Summary:
    """trials, outcomes: how many of each state and outcome. blocks: how many were begun."""

    study: str
    scale: str
    trials: dict[str, int]
    outcomes: dict[str, int]
    blocks: int
    best: Best | None
    seconds: float
    mlflow_run_id: str
    mlflow_experiment_id: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(study: optuna.Study) -> Summary:
    trials, view = study.get_trials(deepcopy=False), StudyView.of(study)
    states = Counter(trial.state for trial in trials)
    return Summary(
        study=study.study_name,
        scale=view.scale,
        trials={state.name.lower(): states[state] for state in TrialState},
        outcomes=dict(Counter(trial.outcome for trial in views(trials) if trial.state.is_finished())),
        blocks=len({view.block for view in views(trials) if view.phase == BLOCK}),
        best=best_of(trials),
        seconds=round(view.seconds, 1),
        mlflow_run_id=view.run_id,
        mlflow_experiment_id=view.experiment_id,
    )


def finite_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Finished with a finite objective."""
    return [
        t for t in trials if t.state is TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]


def best_of(trials: Sequence[FrozenTrial]) -> Best | None:
    """The lowest finite objective; None where no trial has one.

    Runs of blocks are validated on tiles of their own, so they count only where there are no others.
    """
    every = finite_trials(trials)
    finite = [trial for trial in every if TrialView(trial).phase != BLOCK] or every
    if not finite:
        return None
    best = min(finite, key=lambda trial: trial.values[0])
    view = TrialView(best)
    return Best(best.number, best.values[0], dict(best.params), view.run_id, view.seed)
