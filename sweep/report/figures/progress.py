"""The best objective so far against what it cost: does the search still improve where it ends?"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sweep.report.duration import part_in_words, unit
from sweep.report.figures.searched import by_arm, searched
from sweep.report.figures.style import Figure, count, layout, log_axes, plain, series_style
from sweep.store.trials import TrialView
from sweep.study import Plan

FEWEST = 2


@dataclass(frozen=True)
class Improvement:
    """A trial better than all before it: trials and seconds of training spent when it had ended."""

    trial: int
    run_id: str
    objective: float
    trials: int
    seconds: float


@dataclass(frozen=True)
class Progress:
    """A search, in the order in which its trials were asked for."""

    name: str
    improvements: Sequence[Improvement]
    trials: int
    seconds: float

    @property
    def best(self) -> Improvement:
        return self.improvements[-1]

    @property
    def gain(self) -> float | None:
        """By what share the last half of the trials made the best smaller; None if there was none before."""
        half = [row.objective for row in self.improvements if row.trials <= self.trials / 2]
        return 1 - self.best.objective / half[-1] if half and half[-1] > 0 else None


def progress(name: str, trials: Sequence[TrialView]) -> Progress | None:
    """None where none has a finite objective."""
    found: list[Improvement] = []
    seconds = 0.0
    for number, trial in enumerate(sorted(trials, key=lambda t: t.number), start=1):
        seconds += trial.train_seconds or trial.seconds or 0.0
        value = trial.objective
        if value is not None and (not found or value < found[-1].objective):
            found.append(Improvement(trial.number, trial.run_id, value, number, seconds))
    return Progress(name, found, len(trials), seconds) if found else None


def best_so_far(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """None below two trials, and for a border study, which searches no best."""
    found = searched(trials, plan)
    whole = progress("all", found)
    if whole is None or len(found) < FEWEST or (plan is not None and plan.border is not None):
        return None
    apart = by_arm(found, plan)
    arms = [done for name, members in apart if name and (done := progress(name, members))]
    size, name = unit(whole.seconds)
    timed = whole.seconds > 0
    rows = 2 if timed else 1
    figure = make_subplots(rows=rows, cols=1, shared_yaxes=True, vertical_spacing=0.16)
    if timed:
        _add(figure, whole, 5, [row.seconds / size for row in whole.improvements], whole.seconds / size, 1)
    for index, line in enumerate(arms or [whole]):
        k = index if arms else 5
        _add(figure, line, k, [float(row.trials) for row in line.improvements], float(line.trials), rows)
    layout(figure, "", "best objective so far", height=280 * rows + 60)
    figure.update_layout(legend={"y": -0.14})
    if timed:
        figure.update_xaxes(title=f"{name} of training, all trials", row=1, col=1)
    figure.update_xaxes(title="trials" + (" of the arm" if arms else ""), row=rows, col=1)
    most = max(line.trials for line in arms or [whole])
    figure.update_xaxes(dtick=max(1, round(most / 8)), row=rows, col=1)
    log_axes(figure, y=True)
    best = whole.best
    spent = f" and {part_in_words(best.seconds, whole.seconds)} of training" if timed else ""
    gains = [line.gain for line in arms if line.gain is not None]
    late = sum(gain > 0 for gain in gains)
    note = (
        f"{late} of {len(gains)} arms still improved in the last half of their trials."
        if len(gains) > 1
        else ""
    )
    return Figure(
        "progress",
        "Best objective so far against cost",
        "Explored trials, in the order in which they were asked for; those that diverged cost as well. "
        "A line that still falls at its end asks for more trials.",
        figure,
        finding=(
            f"The best objective, {best.objective:.1f} (trial {best.trial}), came after {best.trials:,} of "
            f"{count(whole.trials, 'trial')}{spent}; {_gained(whole)}."
        ),
        notes=[note] if note else [],
        numbers={
            "trials": whole.trials,
            "train_seconds": whole.seconds,
            "best": best.objective,
            "best_after_trials": best.trials,
            "best_after_seconds": best.seconds,
            "gain_of_last_half": whole.gain,
            "arms": [
                {"arm": line.name, "trials": line.trials, "best": line.best.objective, "gain": line.gain}
                for line in arms
            ],
        },
        of_search=True,
    )


def _gained(whole: Progress) -> str:
    if whole.gain is None:
        return "the first half of the trials had none"
    if whole.gain <= 0:
        return "the last half of the trials improved nothing"
    return f"the last half of the trials made it {100 * whole.gain:.2g} % smaller"


def _add(figure: go.Figure, line: Progress, k: int, x: list[float], end: float, row: int) -> None:
    """A step at every improvement, and the level kept up to the end of the search."""
    rows = line.improvements
    style = series_style(k)
    figure.add_scatter(
        x=[*x, end],
        y=[*(r.objective for r in rows), rows[-1].objective],
        mode="lines+markers",
        line={"shape": "hv", "width": 2, "color": style["color"]},
        marker={**style, "size": [7] * len(rows) + [0.1]},
        name=plain(line.name),
        legendgroup=line.name,
        showlegend=line.name != "all",
        text=[f"trial {r.trial}: {r.objective:.2f}" for r in rows] + [f"end: {rows[-1].objective:.2f}"],
        customdata=[*(r.run_id for r in rows), ""],
        hovertemplate=plain(line.name) + "<br>%{text}<extra></extra>",
        row=row,
        col=1,
    )
