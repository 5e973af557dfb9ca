"""Whether the best trial lies at the edge of what was searched: then the best of all may lie beyond it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep.report.figures.searched import best_of, by_arm, place
from sweep.store.groups import values_of
from sweep.store.labels import format_value, short_names
from sweep.store.trials import LR, TrialView
from sweep.study import Axis, Plan

MARGIN = 0.05
"""Share of a continuous axis, on its scale, that counts as its edge."""
FEWEST_VALUES = 3
"""Of a discrete setting: of two, each is at an edge."""
IDLE = {
    "optim.clip_norm_relative": ("optim.clip", ("none",)),
    "objective.kl_warmup_fraction": ("objective.kl_schedule", ("constant",)),
}
"""Setting -> where it is without effect: another setting, and the values of that one."""
MOST_NAMED = 4
FEWEST_TRIALS = 3
"""Of an arm: fewer put its best anywhere, and the study is looked at as a whole."""


@dataclass(frozen=True)
class Edge:
    """The best value of a setting in one arm (empty: of the study), and the ends of what was searched.

    at: `lower`, `upper`, or empty where it lies inside. capped: the upper end is that of a mapped border.
    """

    path: str
    arm: str
    trial: int
    value: float
    low: float
    high: float
    at: str
    capped: bool = False

    @property
    def widen(self) -> bool:
        """Whether a wider range could help: beyond a mapped border nothing trains."""
        return bool(self.at) and not self.capped

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def edges(trials: Sequence[TrialView], plan: Plan | None) -> dict[str, list[Edge]]:
    """Path -> one of each arm that searches it; for settings that are numbers.

    Empty for a border study, whose range is there to be mapped.
    """
    if plan is None or plan.border is not None:
        return {}
    fixed = {arm.name: arm.fixed for arm in plan.arms}
    found: dict[str, list[Edge]] = {}
    arms = [(name, members) for name, members in by_arm(trials, plan) if len(members) >= FEWEST_TRIALS]
    for name, members in arms or [("", list(trials))]:
        best = best_of(members)
        if best is None:
            continue
        for axis in plan.axes:
            if axis.path in fixed.get(best.arm, {}) or _idle(axis, best):
                continue
            edge = _edge(axis, name, best)
            if edge is not None:
                found.setdefault(axis.path, []).append(edge)
    return found


def _idle(axis: Axis, best: TrialView) -> bool:
    other, values = IDLE.get(axis.path, ("", ()))
    return best.value(other) in values


def _edge(axis: Axis, arm: str, best: TrialView) -> Edge | None:
    value = best.params.get(axis.path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    values = sorted(v for v in values_of(axis) if isinstance(v, int | float) and not isinstance(v, bool))
    if values:
        if len(values) < FEWEST_VALUES:
            return None
        low, high, capped = float(values[0]), float(values[-1]), False
        side = "lower" if value <= low else "upper" if value >= high else ""
    else:
        assert axis.kind != "choice"
        cap = best.lr_cap if axis.path == LR else None
        capped = cap is not None and cap < axis.high
        low, high = float(axis.low), float(cap if capped and cap is not None else axis.high)
        share = place(value, low, high, axis.kind == "float" and axis.log)
        side = "lower" if share < MARGIN else "upper" if share > 1 - MARGIN else ""
    return Edge(axis.path, arm, best.number, float(value), low, high, side, capped and side == "upper")


def sentences(found: dict[str, list[Edge]]) -> list[str]:
    """One of each setting, those to be widened first."""
    names = short_names(list(found))
    ordered = sorted(found.items(), key=lambda row: not any(edge.widen for edge in row[1]))
    return [_sentence(names[path], rows) for path, rows in ordered]


def _sentence(name: str, rows: Sequence[Edge]) -> str:
    at = [row for row in rows if row.at]
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    space = f"{format_value(low)} to {format_value(high)}"
    if len(rows) == 1:
        row = rows[0]
        value = f"The best `{name}`" + (f" of {row.arm}" if row.arm else "") + f", {format_value(row.value)},"
        if not row.at:
            return f"{value} lies inside {space}."
        end = "that the mapped border sets" if row.capped else f"of {space}: widen it"
        return f"{value} is at the {row.at} edge {end}."
    if not at:
        return f"The best `{name}` of each of {len(rows)} arms lies inside {space}."
    named = [f"{row.arm}: {format_value(row.value)}, {row.at}" for row in at[:MOST_NAMED]]
    more = f"; {len(at) - MOST_NAMED} more" if len(at) > MOST_NAMED else ""
    advice = "widen it" if any(row.widen for row in at) else "the mapped border sets it"
    return (
        f"The best `{name}` of {len(at)} of {len(rows)} arms is at an edge of {space}: {advice} "
        f"({'; '.join(named)}{more})."
    )
