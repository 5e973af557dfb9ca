"""Share of the trials that diverged, by arm and by learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sweep.report.figures.searched import by_group, rate_cells, searched
from sweep.report.figures.style import BLUE, GREEN, ORANGE, Figure, count, layout, plain
from sweep.store.groups import grouping_of
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan

Z = 1.959964
REPEATED = {"confirm": "confirming run", BLOCK: "block run"}
"""Phases that run settings again, and what their runs are called."""
ROW, MARGINS = 30, 110


@dataclass(frozen=True)
class Share:
    """Diverged trials among all of a group, with the ends of the 95 % interval of Wilson (1927)."""

    label: str
    diverged: int
    trials: int

    @property
    def value(self) -> float:
        return self.diverged / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        n, z2 = self.trials, Z * Z
        middle = (self.value + z2 / (2 * n)) / (1 + z2 / n)
        half = Z / (1 + z2 / n) * math.sqrt(self.value * (1 - self.value) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def as_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "diverged": self.diverged,
            "trials": self.trials,
            "share": self.value,
            "interval_95": list(self.interval),
        }


def share_of_infeasible(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """None where no trial diverged: then there is nothing to share out."""
    found = searched(trials, plan)
    repeats = [trial for trial in trials if trial.finished and trial.phase in REPEATED]
    kind_of_repeat = next((REPEATED[trial.phase] for trial in repeats), "run")
    lost, again = (sum(trial.diverged for trial in group) for group in (found, repeats))
    if not lost and not again:
        return None
    grouping = grouping_of(plan)
    by = grouping.title if grouping else ""
    groups, repeated = (
        [_share(name, members) for name, members in by_group(group, plan) if members]
        for group in (found, repeats)
    )
    rates = [_share(cell.label, cell.trials) for cell in rate_cells(found, plan)]
    parts = [
        part
        for part in (
            (by, groups if lost else [], BLUE),
            ("learning rate", rates if lost else [], ORANGE),
            (f"{by}, {kind_of_repeat}s", repeated if again else [], GREEN),
        )
        if len(part[1]) > 1
    ]
    kind = "explored trial" if plan is None or plan.border is None else "whole run"
    said = [f"{lost:,} of {count(len(found), kind)} diverged"]
    said[0] += f" ({100 * lost / len(found):.0f} %)" if found else ""
    said += [f"by {title} most in {_most(rows)}" for title, rows, _ in parts if rows is not repeated]
    if again:
        said.append(f"{again:,} of {count(len(repeats), kind_of_repeat)} diverged")
        said[-1] += f", most in {_most(repeated)}" if len(repeated) > 1 else ""
    return Figure(
        "infeasible",
        "Share of trials that diverged",
        "Bars: trials without a finite objective, with the 95 % interval of Wilson (1927). A sampler "
        "that learns leaves what diverges, so the shares are of what was tried.",
        _drawn(parts) if parts else None,
        missing="" if parts else "There are no groups or rates to compare.",
        finding="; ".join(said) + ".",
        numbers={
            "explored": {"diverged": lost, "trials": len(found)},
            "confirming": {"diverged": again, "trials": len(repeats)},
            "by_group": [row.as_dict() for row in groups],
            "by_rate": [row.as_dict() for row in rates],
            "confirming_by_group": [row.as_dict() for row in repeated] if repeats else [],
        },
        of_search=True,
    )


def _share(label: str, trials: Sequence[TrialView]) -> Share:
    return Share(label or "all", sum(trial.diverged for trial in trials), len(trials))


def _most(rows: Sequence[Share]) -> str:
    """The group with the largest share."""
    worst = max(rows, key=lambda row: (row.value, row.trials))
    return f"{worst.label} ({worst.diverged} of {worst.trials})"


def _drawn(parts: Sequence[tuple[str, Sequence[Share], str]]) -> go.Figure:
    sizes = [len(rows) + 1 for _, rows, _ in parts]
    height = MARGINS + ROW * sum(sizes)
    figure = make_subplots(
        rows=len(parts),
        cols=1,
        shared_xaxes=True,
        row_heights=sizes,
        vertical_spacing=60 / height if len(parts) > 1 else 0,
    )
    for index, (_, rows, color) in enumerate(parts, start=1):
        intervals = [row.interval for row in rows]
        figure.add_bar(
            x=[row.value for row in rows],
            y=[plain(row.label) for row in rows],
            orientation="h",
            marker={"color": color, "opacity": 0.8},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - row.value for row, (_, high) in zip(rows, intervals, strict=True)],
                "arrayminus": [row.value - low for row, (low, _) in zip(rows, intervals, strict=True)],
                "thickness": 1.2,
                "width": 4,
                "color": "#858585",
            },
            text=[f"{row.diverged} of {row.trials}" for row in rows],
            textposition="none",
            hovertemplate="%{y}: %{text} diverged<extra></extra>",
            row=index,
            col=1,
        )
    layout(figure, "", "", height=height, showlegend=False, bargap=0.35)
    for index, (title, rows, _) in enumerate(parts, start=1):
        figure.update_yaxes(
            type="category",
            title=plain(title),
            tickmode="array",
            tickvals=list(range(len(rows))),
            ticktext=[f"{plain(row.label)} ({row.diverged}/{row.trials})" for row in rows],
            autorange="reversed",
            row=index,
            col=1,
        )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_xaxes(title="share that diverged", row=len(parts), col=1)
    return figure
