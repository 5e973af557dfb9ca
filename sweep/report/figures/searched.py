"""What the figures of a search are made of: its trials, by group, and by value or bin of a setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.store.groups import grouping_of, values_of
from sweep.store.labels import format_value
from sweep.store.trials import LR, TrialView
from sweep.study import Axis, Plan

MOST_GROUPS = 12
"""That a figure can tell apart."""
MOST_BINS = 8


def searched(trials: Sequence[TrialView], plan: Plan | None) -> list[TrialView]:
    """Finished trials whose objectives compare: the explored ones, and of a border study its whole runs."""
    maps = plan is not None and plan.border is not None
    return [trial for trial in trials if trial.finished and (trial.is_explored or maps)]


def by_group(trials: Sequence[TrialView], plan: Plan | None) -> list[tuple[str, list[TrialView]]]:
    """Name and trials of each arm, or of each value of the axis that groups the study, in its order.

    One group without a name where the study has no groups, or more than can be told apart.
    """
    grouping = grouping_of(plan)
    if grouping is None:
        return [("", list(trials))]
    members: dict[str, list[TrialView]] = {name: [] for name in grouping.names}
    for trial in trials:
        members.setdefault(grouping.group_of(trial), []).append(trial)
    found = [(name, group) for name, group in members.items() if group]
    return found if 1 < len(found) <= MOST_GROUPS else [("", list(trials))]


def by_arm(trials: Sequence[TrialView], plan: Plan | None) -> list[tuple[str, list[TrialView]]]:
    """As `by_group`, for arms alone: each of them is a search of its own."""
    grouping = grouping_of(plan)
    return [("", list(trials))] if grouping is None or grouping.axis else by_group(trials, plan)


def best_of(trials: Sequence[TrialView]) -> TrialView | None:
    """The one with the smallest objective, the first of equals; None where none is finite."""
    finite = [(trial.objective, trial.number, trial) for trial in trials if trial.objective is not None]
    return min(finite, key=lambda row: row[:2])[2] if finite else None


@dataclass(frozen=True)
class Cell:
    """A value of a discrete setting, or a bin of a continuous one, with the trials in it.

    low, high: ends of the bin; equal for a value that is a number, None for another value.
    """

    label: str
    low: float | None
    high: float | None
    trials: Sequence[TrialView]

    @property
    def infeasible(self) -> int:
        return sum(trial.diverged for trial in self.trials)

    @property
    def best(self) -> TrialView | None:
        """The best over all other settings."""
        return best_of(self.trials)

    def as_dict(self) -> dict[str, Any]:
        best = self.best
        return {
            "label": self.label,
            "low": self.low,
            "high": self.high,
            "trials": len(self.trials),
            "infeasible": self.infeasible,
            "best": None if best is None else best.objective,
            "best_trial": None if best is None else best.number,
        }


def cells(axis: Axis, trials: Sequence[TrialView]) -> list[Cell]:
    """By the values of a discrete axis, by bins of equal width on its scale of another; no empty one."""
    having = [trial for trial in trials if axis.path in trial.params]
    if values := values_of(axis):
        found = [
            Cell(format_value(v), *_ends(v), [t for t in having if t.params[axis.path] == v]) for v in values
        ]
        return [cell for cell in found if cell.trials]
    assert axis.kind != "choice"
    return _bins(having, axis.path, axis.low, axis.high, axis.kind == "float" and axis.log)


def rate_cells(trials: Sequence[TrialView], plan: Plan | None) -> list[Cell]:
    """By the learning rate, whether or not it is an axis of the plan; empty where all have the same."""
    axis = next((axis for axis in plan.axes if axis.path == LR), None) if plan is not None else None
    if axis is not None:
        return cells(axis, trials)
    rates = [rate for trial in trials if (rate := trial.lr)]
    if len(set(rates)) < 2:
        return []
    return _bins([t for t in trials if t.lr], LR, min(rates), max(rates), True)


def _bins(having: Sequence[TrialView], path: str, low: float, high: float, log: bool) -> list[Cell]:
    number = min(MOST_BINS, max(3, math.isqrt(len(having))))
    edges = [at(share / number, low, high, log) for share in range(number + 1)]
    members: list[list[TrialView]] = [[] for _ in range(number)]
    for trial in having:
        value = trial.number_of(path)
        if value is not None:
            members[min(number - 1, max(0, int(number * place(value, low, high, log))))].append(trial)
    return [
        Cell(f"{format_value(start)} to {format_value(end)}", start, end, group)
        for start, end, group in zip(edges, edges[1:], members, strict=False)
        if group
    ]


def place(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies on its axis, 0 at the lower end and 1 at the upper."""
    if high <= low:
        return 0.5
    if log and low > 0 and value > 0:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def at(share: float, low: float, high: float, log: bool) -> float:
    """The value at a place of the axis."""
    return low * (high / low) ** share if log and low > 0 else low + share * (high - low)


def _ends(value: Any) -> tuple[float | None, float | None]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, None
    return float(value), float(value)
