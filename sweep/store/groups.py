"""A study's trials side by side: by its arms, or by the values of a small axis where it has none.

The table at the end of a run, and the same numbers in the report.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sweep.store.intervals import mean_interval
from sweep.store.labels import short_names
from sweep.store.trials import UNSTABLE, TrialView, confirmed
from sweep.study import Arm, Axis, Plan

MOST_VALUES = 12
"""An axis with more values is no group: a trial or two each compare nothing."""


@dataclass(frozen=True)
class Group:
    """Finished explored trials of one arm, or of one value of an axis.

    best, median: objectives; None where none is finite. settings: the searched settings of the best trial.
    confirmed: geometric mean of the confirming runs with the ends of its 95 % t interval, over `seeds`.
    """

    name: str
    trials: int
    unstable: int
    best: float | None
    median: float | None
    best_trial: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    confirmed: tuple[float, float, float] | None = None
    seeds: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Grouping:
    """How the trials of a study are told apart: by arm, or by their values of one axis.

    title: `arm`, or the axis. names: of the groups, in order. axis: its path; None where they are arms.
    fixed: arm -> the paths that are the same in all its trials.
    """

    title: str
    names: Sequence[str]
    axis: str | None = None
    fixed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def group_of(self, trial: TrialView) -> str:
        return trial.arm if self.axis is None else str(trial.value(self.axis))

    def fixed_in(self, name: str) -> frozenset[str]:
        """Paths that are the same in all trials of the group."""
        return self.fixed.get(name, frozenset()) if self.axis is None else frozenset({self.axis})


def grouping_of(plan: Plan | None) -> Grouping | None:
    """By arms where there are several, else by the first axis with few values; None where neither is there.

    The trials of a border study are placed on its map instead.
    """
    if plan is None or plan.border is not None:
        return None
    if len(plan.arms) > 1:
        fixed = {arm.name: frozenset(arm.fixed) for arm in plan.arms}
        return Grouping("arm", [arm.name for arm in _in_order(plan.arms)], fixed=fixed)
    names = short_names([axis.path for axis in plan.axes])
    for axis in plan.axes:
        values = values_of(axis)
        if 1 < len(values) <= MOST_VALUES:
            return Grouping(names[axis.path], [str(value) for value in values], axis=axis.path)
    return None


def _in_order(arms: Sequence[Arm]) -> list[Arm]:
    """By the numbers that they fix, where they differ in nothing else; those that fix none come last."""
    fixed = [arm for arm in arms if arm.fixed]
    values = [value for arm in fixed for value in arm.fixed.values()]
    if any(arm.settings for arm in arms) or not all(isinstance(value, int | float) for value in values):
        return list(arms)
    return sorted(fixed, key=lambda arm: list(arm.fixed.values())) + [arm for arm in arms if not arm.fixed]


def values_of(axis: Axis) -> list[Any]:
    """The values of a discrete axis, in order; empty for a continuous one."""
    if axis.kind == "choice":
        return list(axis.choices)
    if axis.kind == "int" and axis.high - axis.low < MOST_VALUES:
        return list(range(axis.low, axis.high + 1))
    return []


def groups_of(trials: Sequence[TrialView], plan: Plan | None) -> tuple[str, list[Group]]:
    """What the groups are, and those that have trials; none where the study has no groups.

    Only explored trials count: those of other phases run for other lengths, so objectives do not compare.
    """
    grouping = grouping_of(plan)
    if plan is None or grouping is None:
        return "", []
    explored = [t for t in trials if t.is_explored and t.finished]
    members = _by_group(explored, grouping)
    repeated = _by_group([run for runs in confirmed(trials).values() for run in runs], grouping)
    known = [name for name in grouping.names if name in members or name in repeated]
    searched = [axis.path for axis in plan.axes]
    return grouping.title, [
        _group(
            name,
            members.get(name, []),
            repeated.get(name, []),
            [path for path in searched if path not in grouping.fixed_in(name)],
        )
        for name in known
    ]


def geometric_mean(runs: Sequence[TrialView]) -> tuple[float, float, float] | None:
    """Geometric mean of the objectives with its 95 % t interval; None below two that are finite."""
    spread = mean_interval([math.log(r.objective) for r in runs if r.objective and r.objective > 0])
    return None if spread is None else (math.exp(spread[0]), math.exp(spread[1]), math.exp(spread[2]))


def _by_group(trials: Sequence[TrialView], grouping: Grouping) -> dict[str, list[TrialView]]:
    groups: dict[str, list[TrialView]] = {}
    for trial in trials:
        groups.setdefault(grouping.group_of(trial), []).append(trial)
    return groups


def _group(
    name: str, members: Sequence[TrialView], repeated: Sequence[TrialView], searched: Sequence[str]
) -> Group:
    finite = [(trial.objective, trial) for trial in members if trial.objective is not None]
    best, of_best = min(finite, key=lambda pair: pair[0], default=(None, None))
    return Group(
        name=name,
        trials=len(members),
        unstable=sum(trial.outcome in UNSTABLE for trial in members),
        best=best,
        median=statistics.median(value for value, _ in finite) if finite else None,
        best_trial=None if of_best is None else of_best.number,
        settings={} if of_best is None else {p: of_best.value(p) for p in searched if p in of_best.params},
        confirmed=geometric_mean(repeated),
        seeds=len(repeated),
    )
