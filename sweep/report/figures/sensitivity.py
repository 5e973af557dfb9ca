"""Learning-rate sensitivity: how much is lost where the rate misses the best (Wortsman et al. 2023).

arXiv 2309.14322 defines it as the expectation, over rates log-uniform on a range, of
min(loss at the rate, loss at initialisation) - loss at the best rate. Here the range is a decade on
either side of the best trial's rate, in thirds of a decade. The losses of a third are those of all its
explored trials, whatever their other settings, and the thirds that have trials count alike. A trial that
diverged has the loss at initialisation: the median over the trials of the first step's training loss, or,
where none was recorded, the worst finite objective.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import plotly.graph_objects as go

from sweep.evidence.sensitivity import FIRST_LOSS
from sweep.report.figures.searched import best_of, by_group, searched
from sweep.report.figures.style import Figure, count, layout, plain, series_style
from sweep.store.trials import TrialView
from sweep.study import Plan

THIRDS = 3
"""Bins a decade, and how many of them to either side of the best rate."""
FEWEST_TRIALS, FEWEST_THIRDS = 4, 2


@dataclass(frozen=True)
class Third:
    """A third of a decade: the geometric mean of its trials' rates, their mean excess loss, and how many."""

    rate: float
    excess: float
    trials: int


@dataclass(frozen=True)
class Sensitivity:
    """excess: expected excess loss over the best objective. start: the loss at initialisation; start_known:
    whether it was recorded. thirds: those of seven that have trials, by rate."""

    name: str
    excess: float
    best: float
    best_rate: float
    best_trial: int
    start: float
    start_known: bool
    trials: int
    diverged: int
    thirds: Sequence[Third]

    @property
    def relative(self) -> float:
        return self.excess / self.best

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"relative": self.relative}


def sensitivity(name: str, trials: Sequence[TrialView]) -> Sensitivity | None:
    """None where too few trials lie around the best, or all at its rate."""
    best = best_of([trial for trial in trials if trial.lr])
    if best is None or best.objective is None or best.objective <= 0 or not best.lr:
        return None
    start, known = _start(trials)
    thirds: dict[int, list[tuple[float, float]]] = {}
    near = lost = 0
    for trial in trials:
        if not trial.lr or trial.lr <= 0:
            continue
        third = round(THIRDS * math.log10(trial.lr / best.lr))
        if abs(third) > THIRDS:
            continue
        value = start if trial.objective is None else min(trial.objective, start)
        thirds.setdefault(third, []).append((trial.lr, max(0.0, value - best.objective)))
        near, lost = near + 1, lost + trial.diverged
    if near < FEWEST_TRIALS or len(thirds) < FEWEST_THIRDS:
        return None
    rows = [
        Third(
            statistics.geometric_mean(rate for rate, _ in pairs),
            statistics.fmean(excess for _, excess in pairs),
            len(pairs),
        )
        for _, pairs in sorted(thirds.items())
    ]
    excess = statistics.fmean(row.excess for row in rows)
    return Sensitivity(name, excess, best.objective, best.lr, best.number, start, known, near, lost, rows)


def _start(trials: Sequence[TrialView]) -> tuple[float, bool]:
    first = [value for trial in trials if (value := trial.number_of(FIRST_LOSS)) is not None]
    if first:
        return statistics.median(first), True
    return max(trial.objective for trial in trials if trial.objective is not None), False


def rate_sensitivity(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """None for a border study, and where no group has enough trials."""
    if plan is not None and plan.border is not None:
        return None
    found = searched(trials, plan)
    rows = [row for name, members in by_group(found, plan) if name and (row := sensitivity(name, members))]
    if not rows:  # no groups, or too few trials in each
        whole = sensitivity("all trials", found)
        rows = [] if whole is None else [whole]
    if not rows:
        return None
    figure = go.Figure()
    for index, row in enumerate(rows):
        style = series_style(index)
        figure.add_scatter(
            x=[third.rate for third in row.thirds],
            y=[100 * third.excess / row.best for third in row.thirds],
            mode="lines+markers",
            line={"color": style["color"], "width": 2},
            marker={**style, "size": 9},
            name=f"{plain(row.name)}: {_percent(row.relative)}",
            text=[f"{count(third.trials, 'trial')}" for third in row.thirds],
            hovertemplate=f"{plain(row.name)}<br>about a rate of %{{x:.2g}}: %{{y:.3g}} % above the best, "
            "%{text}<extra></extra>",
        )
    layout(figure, "learning rate", "mean excess loss, % of the best", height=400, showlegend=True)
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(type="log", dtick="D2", tickformat="~g", exponentformat="none")
    start = "the loss at initialisation (the median first training loss)"
    if not all(row.start_known for row in rows):
        start = "the worst finite objective (the loss at initialisation was not recorded)"
    caption = (
        "Excess: min(loss, loss at initialisation) - best loss. Points: its mean in thirds of a decade, up "
        "to a decade from the best rate; the legend has their mean, the sensitivity (after Wortsman et al. "
        f"2023, arXiv 2309.14322). A diverged trial counts as {start}. Other settings vary too, and their "
        "part is in it."
    )
    return Figure(
        "sensitivity",
        "Learning-rate sensitivity",
        caption,
        figure,
        finding=_finding(rows),
        numbers={"groups": [row.as_dict() for row in rows]},
        of_search=True,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _finding(rows: Sequence[Sensitivity]) -> str:
    least, most = min(rows, key=lambda r: r.relative), max(rows, key=lambda r: r.relative)
    if len(rows) == 1:
        return (
            f"Within a decade of the best rate, {most.best_rate:.2g}, the expected excess loss is "
            f"{_percent(most.relative)} of the best ({most.trials} trials, {most.diverged} diverged)."
        )
    return (
        f"Most sensitive to its rate is {most.name}, with an expected excess loss of "
        f"{_percent(most.relative)} of its best ({most.trials} trials, {most.diverged} diverged); "
        f"least is {least.name}, with {_percent(least.relative)} "
        f"({least.trials} trials, {least.diverged} diverged)."
    )
