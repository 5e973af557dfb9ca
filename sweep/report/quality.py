"""Image quality side by side: of each arm's best trial every metric that was measured, with its interval.

Driven by the names that trials have: `quality/<metric>` is a row, with what lies beside it under `_low`,
`_high` (95 % interval) and `_floor` (what real tiles score against real ones). A new metric shows by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep.store.groups import grouping_of
from sweep.store.keys import QUALITY
from sweep.store.trials import TrialView
from sweep.study import Plan

MOST_COLUMNS = 8
PARTS = ("_floor_low", "_floor_high", "_low", "_high", "_floor")


@dataclass(frozen=True)
class Score:
    """value with the ends of its 95 % interval and the floor; None where it was not measured."""

    value: float | None
    low: float | None
    high: float | None
    floor: float | None


@dataclass(frozen=True)
class QualityColumn:
    """The best trial of a group, and its scores by metric."""

    group: str
    trial: int
    run_id: str
    objective: float
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class QualityTable:
    """left_out: groups that are not shown, which are those with the worst objectives."""

    metrics: Sequence[str]
    columns: Sequence[QualityColumn]
    left_out: int = 0

    def floor(self, metric: str) -> float | None:
        """Of the best trial that has one: all are measured on the same real tiles."""
        scores = (column.scores.get(metric) for column in self.columns)
        return next((s.floor for s in scores if s is not None and s.floor is not None), None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def quality_table(trials: Sequence[TrialView], plan: Plan | None) -> QualityTable:
    """Empty where no trial was measured. Without groups it has one column, the best trial."""
    measured = [t for t in trials if t.objective is not None and _metrics(t)]
    grouping = grouping_of(plan)
    best: dict[str, TrialView] = {}
    for trial in sorted(measured, key=lambda t: (t.objective or 0.0, t.number)):
        best.setdefault((grouping.group_of(trial) if grouping else "") or "all", trial)
    shown = list(best.items())[:MOST_COLUMNS]
    columns = [
        QualityColumn(name, t.number, t.run_id, t.objective or 0.0, {m: _score(t, m) for m in _metrics(t)})
        for name, t in shown
    ]
    metrics = sorted({metric for column in columns for metric in column.scores})
    return QualityTable(metrics, columns, left_out=len(best) - len(shown))


def _metrics(trial: TrialView) -> list[str]:
    """Without the prefix; `_low` and the rest belong to the metric that they stand beside."""
    found = {key.removeprefix(QUALITY) for key in trial.attrs if key.startswith(QUALITY)}
    return sorted(name for name in found if not _is_part(name, found))


def _is_part(name: str, names: set[str]) -> bool:
    return any(name.endswith(part) and name.removesuffix(part) in names for part in PARTS)


def _score(trial: TrialView, metric: str) -> Score:
    low, high, floor = (trial.number_of(f"{QUALITY}{metric}{part}") for part in ("_low", "_high", "_floor"))
    return Score(trial.number_of(QUALITY + metric), low, high, floor)
