"""Explored trials by depth, each with what the confirming runs say of it: the table at the end of a run."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from sweep.store.intervals import mean_interval
from sweep.store.summary import finite_trials, outcome_of
from sweep.store.trials import DEPTHS, confirmed, records


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
