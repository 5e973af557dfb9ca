"""From the trials of a study to what is judged: one value an arm and block, or several an arm and column.

In a block an arm is valued by the run that it would have been given to a user: the one with the best
validation objective of those that it finished there. All figures are that run's.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.evidence.judge import BlockValues, ColumnValues
from sweep.store.trials import BLOCK, DISTANCE, TrialView
from sweep.study import EPOCHS_TO_STOP, EPOCHS_TO_TARGET, Claim, Endpoint, at_distance

TARGET = 1.1
"""The fixed objective of a block or column is this many times the best that was reached there."""


@dataclass(frozen=True)
class Chosen:
    """What stands for an arm in a block. run: None where every run diverged."""

    arm: str
    block: int
    run: TrialView | None
    runs: int
    diverged: int


def chosen(trials: Sequence[TrialView]) -> dict[tuple[str, int], Chosen]:
    """By arm and block, where all that the arm tries there has ended with a result; a crash is none."""
    tried: dict[tuple[str, int], dict[int, TrialView]] = {}
    wanted: dict[tuple[str, int], int] = {}
    for trial in trials:
        if trial.phase != BLOCK or trial.block is None:
            continue
        place = trial.arm, trial.block
        wanted[place] = max(trial.points, wanted.get(place, 0))
        if trial.ended:
            tried.setdefault(place, {})[trial.point] = trial
    found = {}
    for (arm, block), runs in tried.items():
        if len(runs) < wanted[arm, block]:
            continue
        finite = [run for run in runs.values() if run.finished and run.objective is not None]
        best = min(finite, key=lambda run: (run.objective or 0.0, run.point), default=None)
        diverged = sum(run.diverged for run in runs.values())
        found[arm, block] = Chosen(arm, block, best, len(runs), diverged)
    return found


def block_values(claims: Sequence[Claim], trials: Sequence[TrialView]) -> BlockValues:
    """Of all endpoints that the claims name. A figure that the run does not have is left out."""
    stands = chosen(trials)
    targets = _targets((choice.block, choice.run) for choice in stands.values() if choice.run is not None)
    found: dict[str, dict[str, dict[int, float]]] = {}
    for endpoint in endpoints_of(claims):
        arms = found.setdefault(endpoint.key, {})
        for (arm, block), choice in stands.items():
            value = math.inf if choice.run is None else value_of(choice.run, endpoint, targets.get(block))
            if value is not None:
                arms.setdefault(arm, {})[block] = value
    return found


def column_values(claims: Sequence[Claim], trials: Sequence[TrialView]) -> ColumnValues:
    """Of the runs of a border study at its distances: arm is the distance, column a column of the map."""
    found: dict[str, dict[str, dict[int, list[float]]]] = {e.key: {} for e in endpoints_of(claims)}
    runs = [trial for trial in trials if trial.phase == DISTANCE and trial.finished]
    columns = {place: number for number, place in enumerate(sorted({run.border_at for run in runs}))}
    targets = _targets((columns[run.border_at], run) for run in runs)
    for run in runs:
        if run.border_distance is None:
            continue
        for endpoint in endpoints_of(claims):
            value = value_of(run, endpoint, targets.get(columns[run.border_at]))
            if value is not None:
                arms = found[endpoint.key].setdefault(at_distance(run.border_distance), {})
                arms.setdefault(columns[run.border_at], []).append(value)
    return found


def endpoints_of(claims: Sequence[Claim]) -> list[Endpoint]:
    """Every quantity that one of them is judged on, each once."""
    named = (e for c in claims for on in c.endpoints for _, e in c.on(on))
    return list({endpoint.key: endpoint for endpoint in named}.values())


def value_of(run: TrialView, endpoint: Endpoint, target: float | None = None) -> float | None:
    """A run's figure; infinite where it diverged, or never came to what is counted; None where it has none.

    target: the objective that `epochs_to_target` waits for.
    """
    if run.diverged:
        return math.inf
    derived = DERIVED.get(endpoint.key)
    return derived(run, target) if derived else run.number_of(endpoint.key)


def _epochs_to_stop(run: TrialView, target: float | None) -> float | None:
    """Epochs until early stopping; infinite where it did not fire."""
    if run.outcome != "converged":
        return math.inf
    return None if run.epochs is None else float(run.epochs)


def _epochs_to_target(run: TrialView, target: float | None) -> float | None:
    """The first epoch whose validation objective is the target or better; infinite where none is."""
    if target is None:
        return None
    reached = (epoch for epoch, value in sorted(run.stored.intermediate_values.items()) if value <= target)
    return float(next(reached, math.inf))


DERIVED: Mapping[str, Callable[[TrialView, float | None], float | None]] = {
    EPOCHS_TO_STOP.key: _epochs_to_stop,
    EPOCHS_TO_TARGET.key: _epochs_to_target,
}
"""Endpoints that no trial records under their name."""


def _targets(runs: Iterable[tuple[int, TrialView]]) -> dict[int, float]:
    """Block or column -> the fixed objective that `epochs_to_target` waits for."""
    best: dict[int, float] = {}
    for place, run in runs:
        if run.objective is not None and math.isfinite(run.objective):
            best[place] = min(run.objective, best.get(place, math.inf))
    return {place: TARGET * value for place, value in best.items()}
