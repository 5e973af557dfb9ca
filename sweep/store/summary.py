"""What the store says about a study: counts, outcomes, the best trial, a table by depth."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

DEPTHS = ("model.encoder_depth", "model.decoder_depth")


@dataclass(frozen=True)
class Best:
    trial: int
    value: float
    params: dict[str, Any]
    run_id: str
    seed: int | None


@dataclass(frozen=True)
class Group:
    """Explored trials with the same depths. Values are objectives of the finished; None where none is finite.

    confirmed: geometric mean of the confirming runs with the ends of its 95 % t interval, over `seeds`.
    """

    encoder_depth: int
    decoder_depth: int
    trials: int
    unstable: int
    best: float | None
    median: float | None
    best_lr: float | None
    confirmed: tuple[float, float, float] | None = None
    seeds: int = 0


@dataclass(frozen=True)
class Summary:
    study: str
    scale: str
    trials: dict[str, int]
    outcomes: dict[str, int]
    best: Best | None
    seconds: float
    mlflow_run_id: str
    mlflow_experiment_id: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(study: optuna.Study) -> Summary:
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state for trial in trials)
    attrs = study.user_attrs
    return Summary(
        study=study.study_name,
        scale=attrs.get("scale", ""),
        trials={state.name.lower(): states[state] for state in TrialState},
        outcomes=dict(Counter(outcome_of(trial) for trial in trials if trial.state.is_finished())),
        best=best_of(trials),
        seconds=round(float(attrs.get("seconds", 0.0)), 1),
        mlflow_run_id=attrs.get("mlflow_run_id", ""),
        mlflow_experiment_id=attrs.get("mlflow_experiment_id", ""),
    )


def outcome_of(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("outcome", "unknown"))


def finite_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Finished with a finite objective."""
    return [
        t for t in trials if t.state is TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]


def best_of(trials: Sequence[FrozenTrial]) -> Best | None:
    """The lowest finite objective; None where no trial has one."""
    finite = finite_trials(trials)
    if not finite:
        return None
    best = min(finite, key=lambda trial: trial.values[0])
    attrs = best.user_attrs
    return Best(
        best.number, best.values[0], dict(best.params), attrs.get("mlflow_run_id", ""), attrs.get("seed")
    )


def by_depth(trials: Sequence[FrozenTrial]) -> list[Group]:
    """Finished explored trials by their pair of depths, shallowest first; empty where depth is not searched.

    Those of other phases run for other numbers of epochs: their objectives do not compare.
    """
    groups: dict[tuple[int, int], list[FrozenTrial]] = {}
    for trial in trials:
        explored = trial.user_attrs.get("phase", "explore") == "explore"
        if explored and trial.state is TrialState.COMPLETE and all(path in trial.params for path in DEPTHS):
            encoder, decoder = (int(trial.params[path]) for path in DEPTHS)
            groups.setdefault((encoder, decoder), []).append(trial)
    confirmed = _confirmed(trials)
    return [
        _group(depths, members, *confirmed.get(depths, (None, 0)))
        for depths, members in sorted(groups.items())
    ]


Spread = tuple[float, float, float]


def _confirmed(trials: Sequence[FrozenTrial]) -> dict[tuple[int, int], tuple[Spread | None, int]]:
    """Depths -> mean and interval of the confirming runs, and how many there are."""
    if not any(trial.user_attrs.get("phase") == "confirm" for trial in trials):
        return {}
    # scipy takes a while to import, and these import the words of this module.
    from sweep.report.evidence.estimate import mean_interval
    from sweep.store.trials import confirmed, records

    found = {}
    for runs in confirmed(records(trials, None)).values():
        spread = mean_interval([math.log(r.objective) for r in runs if r.objective and r.objective > 0])
        if runs[0].depths is not None:
            mean = None if spread is None else (math.exp(spread[0]), math.exp(spread[1]), math.exp(spread[2]))
            found[runs[0].depths] = (mean, len(runs))
    return found


def _group(
    depths: tuple[int, int], members: list[FrozenTrial], confirmed: Spread | None, seeds: int
) -> Group:
    finite = finite_trials(members)
    best = min(finite, key=lambda trial: trial.values[0], default=None)
    return Group(
        *depths,
        trials=len(members),
        unstable=sum(outcome_of(t) in ("nonfinite", "diverged", "regressed") for t in members),
        best=None if best is None else best.values[0],
        median=statistics.median(t.values[0] for t in finite) if finite else None,
        best_lr=None if best is None else best.params.get("optim.lr"),
        confirmed=confirmed,
        seeds=seeds,
    )
