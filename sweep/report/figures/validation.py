"""The validation objective of every trial by epoch; runs of one setting over several seeds as a band."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sweep.report.figures.searched import by_group
from sweep.report.figures.style import (
    BLUE,
    ORANGE,
    RED,
    Figure,
    count,
    layout,
    log_axes,
    plain,
    thin,
    thinned,
)
from sweep.store.trials import BLOCK, EXPLORE, TrialView
from sweep.study import Plan

COLUMNS = 3
PANEL_HEIGHT = 250
MAX_LINES, MAX_EPOCHS = 200, 30
FEWEST_EPOCHS = 2
HALF = 0.5


@dataclass(frozen=True)
class Band:
    """Runs of one setting: epoch -> smallest, median and largest objective, where two of them have one."""

    phase: str
    runs: Sequence[TrialView]
    rows: Sequence[tuple[int, float, float, float]]


def validation_curves(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """A panel a group; None where no trial reported two epochs."""
    having = [t for t in trials if t.ended and len(_curve(t)) >= FEWEST_EPOCHS]
    if not having:
        return None
    groups = by_group(having, plan)
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        shared_xaxes="all",
        vertical_spacing=0.24 / rows,
        horizontal_spacing=0.04,
        subplot_titles=[plain(name) for name, _ in groups] if len(groups) > 1 else None,
    )
    shown: set[str] = set()
    drawn = bands_drawn = singles_all = 0
    share = max(4, MAX_LINES // len(groups))
    for index, (_, members) in enumerate(groups):
        where = {"row": index // columns + 1, "col": index % columns + 1}
        bands, single = _settings(members)
        lines = thin(sorted(single, key=lambda t: t.objective or math.inf), share)
        drawn, singles_all, bands_drawn = (
            drawn + len(lines),
            singles_all + len(single),
            bands_drawn + len(bands),
        )
        for lost in (True, False):
            some = [t for t in lines if t.diverged is lost]
            if some:
                _add_lines(figure, some, lost, f"lost {lost}" not in shown, where)
                shown.add(f"lost {lost}")
        for band in thin(bands, share):
            _add_band(figure, band, band.phase not in shown, where)
            shown.add(band.phase)
    layout(figure, "", "", height=110 + PANEL_HEIGHT * rows)
    figure.update_layout(legend={"y": -70 / (110 + PANEL_HEIGHT * rows)}, margin={"t": 30})
    for column in range(1, columns + 1):
        figure.update_xaxes(title="epoch", row=rows, col=column)
    for row in range(1, rows + 1):
        figure.update_yaxes(title="validation objective", row=row, col=1)
    log_axes(figure, y=True, shared=True)
    counts = _last_is_best(having)
    caption = (
        "A line a trial, red where it diverged later; a band spans the runs of one setting over its seeds, "
        "with their median. Trials of other phases run for other numbers of epochs."
        + thinned(drawn, singles_all)
    )
    return Figure(
        "validation",
        "Validation curves of all trials",
        caption,
        figure,
        wide=columns > 1,
        finding=_finding(counts),
        numbers={
            "trials": len(having),
            "bands": bands_drawn,
            "best_epoch_is_last": {phase: list(pair) for phase, pair in counts.items()},
        },
        of_search=True,
    )


def _curve(trial: TrialView) -> Mapping[int, float]:
    return trial.stored.intermediate_values


def _last_is_best(trials: Sequence[TrialView]) -> dict[str, tuple[int, int]]:
    """Phase -> finished runs whose best epoch is their last, and all that finished."""
    found: dict[str, tuple[int, int]] = {}
    for trial in trials:
        if trial.finished and trial.objective is not None:
            curve = _curve(trial)
            last = min(curve, key=lambda epoch: (curve[epoch], epoch)) == max(curve)
            some, of = found.get(trial.phase, (0, 0))
            found[trial.phase] = (some + last, of + 1)
    return found


def _finding(counts: Mapping[str, tuple[int, int]]) -> str:
    if not counts:
        return ""
    words = {EXPLORE: "explored", "confirm": "confirming", BLOCK: "block"}
    parts = [f"{some:,} of {of:,} {words.get(phase, phase)} runs" for phase, (some, of) in counts.items()]
    some, of = (sum(pair[k] for pair in counts.values()) for k in (0, 1))
    more = (
        ": they still improve where they end, and more epochs may change the order"
        if of > 1 and some > HALF * of
        else ""
    )
    return f"The best epoch is the last in {' and '.join(parts)}{more}."


SEEDS = ("seed", "data.split_seed")
"""Settings in which runs of one setting differ."""


def _settings(trials: Sequence[TrialView]) -> tuple[list[Band], list[TrialView]]:
    """Runs that differ in the seed alone as bands, and those that stand alone."""
    alike: dict[tuple[object, ...], list[TrialView]] = {}
    for trial in trials:
        params = tuple(sorted((k, str(v)) for k, v in trial.params.items()))
        settings = tuple(sorted((k, str(v)) for k, v in trial.settings.items() if k not in SEEDS))
        alike.setdefault((trial.phase, trial.arm, params, settings), []).append(trial)
    bands, single = [], []
    for (phase, *_), runs in alike.items():
        if len(runs) < 2:
            single += runs
        else:
            bands.append(Band(str(phase), runs, _band(runs)))
    return bands, single


def _band(runs: Sequence[TrialView]) -> list[tuple[int, float, float, float]]:
    epochs = sorted({epoch for run in runs for epoch in _curve(run)})
    rows = []
    for epoch in thin(epochs, MAX_EPOCHS):
        values = [v for run in runs if (v := _curve(run).get(epoch)) is not None and math.isfinite(v)]
        if len(values) > 1:
            rows.append((epoch, min(values), statistics.median(values), max(values)))
    return rows


def _add_lines(
    figure: go.Figure, trials: Sequence[TrialView], lost: bool, first: bool, where: dict[str, int]
) -> None:
    """All in one trace: a gap after each."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    runs: list[str] = []
    for trial in trials:
        kept = thin(sorted(_curve(trial)), MAX_EPOCHS)
        x += [*kept, None]
        y += [*(v if math.isfinite(v := _curve(trial)[epoch]) else None for epoch in kept), None]
        text += [f"trial {trial.number}"] * (len(kept) + 1)
        runs += [trial.run_id] * (len(kept) + 1)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": RED if lost else BLUE, "width": 1.2, "dash": "dot" if lost else "solid"},
        opacity=0.65,
        name="diverged" if lost else "trial",
        legendgroup=f"lost {lost}",
        showlegend=first,
        text=text,
        customdata=runs,
        hovertemplate="%{text}<br>epoch %{x}: %{y:.1f}<extra></extra>",
        **where,
    )


def _add_band(figure: go.Figure, band: Band, first: bool, where: dict[str, int]) -> None:
    color = BLUE if band.phase == EXPLORE else ORANGE
    x = [row[0] for row in band.rows]
    name = f"{plain(band.phase)}, over seeds"
    figure.add_scatter(
        x=x + x[::-1],
        y=[row[3] for row in band.rows] + [row[1] for row in reversed(band.rows)],
        fill="toself",
        fillcolor=color,
        opacity=0.3,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=band.phase,
        **where,
    )
    figure.add_scatter(
        x=x,
        y=[row[2] for row in band.rows],
        mode="lines+markers" if len(x) < FEWEST_EPOCHS else "lines",
        line={"color": color, "width": 2.5},
        name=name,
        legendgroup=band.phase,
        showlegend=first,
        hovertemplate=f"{count(len(band.runs), 'run')} of one setting<br>epoch %{{x}}: median %{{y:.1f}}"
        "<extra></extra>",
        **where,
    )
