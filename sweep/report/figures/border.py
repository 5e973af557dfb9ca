"""The map of the border, and quality against the distance below it."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sweep.report.figures.curves import DASHES
from sweep.report.figures.objective import OBJECTIVE
from sweep.report.figures.style import (
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SERIES,
    VOLATILITY_SCALE,
    Figure,
    by_outcome,
    count,
    layout,
    log_axes,
    outcome_style,
    plain,
    points,
    thin,
    thinned,
)
from sweep.report.plotted_map import Column, PlottedMap
from sweep.store.keys import VOLATILITY
from sweep.store.labels import short_names
from sweep.store.trials import LR, TrialView
from sweep.study import Plan

PLANES = (
    ("model.encoder_depth", "encoder depth", False),
    ("optim.clip_norm_relative", "clip norm (in median gradient norms)", True),
    ("objective.kl_weight", "KL weight", True),
    ("batch_size", "batch size", True),
)
"""What the learning rate is drawn against: the first that the map, or else the trials, have values of; where
there is none, the first axis of numbers that the study searches."""
BORDERS = {"useless": RED, "blowup": ORANGE, "nonfinite": PURPLE}
MAX_TICKS = 16
NO_MAP = "There is no map of the border for this study: `python -m sweep run border_study` makes one."


def has_border_plane(trials: Sequence[TrialView], plan: Plan | None, borders: PlottedMap | None) -> bool:
    """Whether the study maps a border, or has trials to draw with their rate against another number: one that
    a map knows them by, or that is searched beside the rate."""
    if plan is not None and plan.border is not None:
        return True
    runs = [trial for trial in trials if trial.ended and trial.lr]
    on_map = borders is not None and any(borders.column(trial) is not None for trial in runs)
    searched = plan is None or (any(axis.path == LR for axis in plan.axes) and bool(_numeric_axes(plan)))
    varied = on_map or (searched and len({trial.lr for trial in runs}) > 1)
    return varied and _plane(runs, borders if on_map else None, plan) is not None


def border_figure(
    trials: Sequence[TrialView], borders: PlottedMap | None, plan: Plan | None = None
) -> Figure:
    """Learning rate by another setting: stable runs coloured by volatility, the others by outcome."""
    runs = [t for t in trials if t.ended and t.lr]
    plane = _plane(runs, borders, plan)
    if not runs or plane is None:
        why = "No trials differ in learning rate and in another number that is searched."
        return Figure("border", "Map of the border", "", missing=why)
    path, name, log = plane
    mapped = borders is not None or (plan is not None and plan.border is not None)
    title = "Map of the border" if mapped else f"Learning rate and {name}"
    shown = [t for t in runs if t.number_of(path) is not None]
    drawn = thin(sorted(shown, key=lambda t: t.lr or 0))
    figure = go.Figure()
    _add_borders(figure, borders, path)
    calm = [t for t in drawn if not t.diverged and t.outcome != "regressed"]
    _add_calm(figure, calm, path)
    for outcome, members in by_outcome([t for t in drawn if t not in calm]).items():
        figure.add_scatter(
            x=[t.number_of(path) for t in members],
            y=[t.lr for t in members],
            name=plain(outcome),
            marker={**outcome_style(outcome), "size": 9},
            **points(members),
        )
    layout(figure, name, "learning rate")
    log_axes(figure, x=log, y=True)
    places = sorted({v for t in drawn if (v := t.number_of(path)) is not None})
    if not log and len(places) <= MAX_TICKS:
        figure.update_xaxes(tickmode="array", tickvals=places)
    caption = f"{count(len(shown), 'trial')}; stable ones coloured by the volatility of their gradient norm. "
    if borders is None:
        caption += NO_MAP
    elif any(path in column.settings for column in borders.columns):
        caption += _about(borders)
    notes = borders.notes if borders else ()
    return Figure("border", title, caption + thinned(len(drawn), len(shown)), figure, notes=notes)


def _plane(
    runs: Sequence[TrialView], borders: PlottedMap | None, plan: Plan | None
) -> tuple[str, str, bool] | None:
    """Path, name, and whether its axis is logarithmic."""
    mapped = {path for column in borders.columns for path in column.settings} if borders else set()
    for plane in PLANES:
        if plane[0] in mapped and any(t.number_of(plane[0]) is not None for t in runs):
            return plane
    others = [] if plan is None else _numeric_axes(plan)
    for plane in [*PLANES, *others]:
        if len({t.number_of(plane[0]) for t in runs}) > 1:
            return plane
    return None


def _numeric_axes(plan: Plan) -> list[tuple[str, str, bool]]:
    names = short_names([axis.path for axis in plan.axes])
    numeric = [
        (axis.path, names[axis.path], axis.kind == "float" and axis.log)
        for axis in plan.axes
        if axis.kind != "choice" or all(isinstance(choice, int | float) for choice in axis.choices)
    ]
    return [plane for plane in numeric if plane[0] not in (LR, "seed")]


def _about(borders: PlottedMap) -> str:
    runs = sum(column.runs for columns in borders.labels.values() for column in columns)
    return f"Lines: where half of the runs cross, with the band of the map ({runs:,} probes)."


def _add_borders(figure: go.Figure, borders: PlottedMap | None, path: str) -> None:
    for label, columns in (borders.labels if borders else {}).items():
        groups = sorted({c.group for c in columns if path in c.settings})
        for index, group in enumerate(groups):
            members = [c for c in columns if path in c.settings and c.group == group]
            line = sorted(members, key=lambda c: float(c.settings[path]))
            name = f"{label} border" + (f", {group}" if len(groups) > 1 else "")
            _add_border(figure, label, name, DASHES[index % len(DASHES)], line, path)


def _add_border(
    figure: go.Figure, label: str, name: str, dash: str, line: Sequence[Column], path: str
) -> None:
    x = [float(c.settings[path]) for c in line]
    color = BORDERS.get(label, GREY)
    figure.add_scatter(
        x=x + x[::-1],
        y=[10**c.high for c in line] + [10**c.low for c in reversed(line)],
        fill="toself",
        fillcolor=color,
        opacity=0.2,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )
    figure.add_scatter(
        x=x,
        y=[10**c.border for c in line],
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": dash},
        marker={"size": 9, "symbol": "diamond-open", "line": {"width": 2}},
        name=plain(name),
        legendgroup=name,
        hovertemplate=plain(name) + " at %{x}: learning rate %{y:.3g}<extra></extra>",
    )


def _add_calm(figure: go.Figure, calm: Sequence[TrialView], path: str) -> None:
    """Those whose volatility is not known (under 16 steps) are grey."""
    known = [t for t in calm if t.number_of(VOLATILITY)]
    unknown = [t for t in calm if not t.number_of(VOLATILITY)]
    for members, name, marker in (
        (known, "stable", _volatility_marker([t.number_of(VOLATILITY) or 1.0 for t in known])),
        (unknown, "stable, volatility unknown", {"size": 8, "symbol": "circle-open", "color": GREY}),
    ):
        if members:
            figure.add_scatter(
                x=[t.number_of(path) for t in members],
                y=[t.lr for t in members],
                name=name,
                marker=marker,
                **points(members),
            )


def _volatility_marker(volatility: Sequence[float]) -> dict[str, Any]:
    logs = [math.log10(v) for v in volatility]
    low = math.floor(min(logs, default=0.0) * 4) / 4
    high = max(math.ceil(max(logs, default=0.0) * 4) / 4, low + 0.25)
    return {
        "size": 8,
        "symbol": "circle",
        "color": logs,
        "colorscale": VOLATILITY_SCALE,
        "cmin": low,
        "cmax": high,
        "line": {"width": 1, "color": GREY},
        "colorbar": {
            "title": {"text": "volatility", "side": "right"},
            "tickvals": [low, high],
            "ticktext": [f"{10**low:.2g}", f"{10**high:.2g}"],
            "thickness": 12,
        },
    }


def quality_by_distance(trials: Sequence[TrialView], borders: PlottedMap | None) -> Figure:
    """Objective over the best of its column, by decades below the border."""
    title = "Quality against border distance"
    if borders is None:
        return Figure("distance", title, "", missing=NO_MAP)
    columns: dict[int, list[TrialView]] = {}
    for trial in trials:
        column = borders.column(trial)
        if column is not None and trial.objective is not None and borders.distance(trial) is not None:
            columns.setdefault(column, []).append(trial)
    if not columns:
        return Figure("distance", title, "", missing="No finished trial lies in a column of the map.")
    limit = max(1, 1500 // len(columns))
    figure = go.Figure()
    total = drawn_count = 0
    for index, (column, members) in enumerate(sorted(columns.items())):
        drawn = thin(sorted(members, key=lambda t: t.objective or 0), limit)
        total, drawn_count = total + len(members), drawn_count + len(drawn)
        figure.add_scatter(
            x=[borders.distance(t) for t in drawn],
            y=[t.objective for t in drawn],
            name=plain(borders.columns[column].name),
            marker={
                "color": SERIES[index % len(SERIES)],
                "symbol": ["circle", "diamond", "square", "triangle-up", "x", "star"][index % 6],
                "size": 8,
                "opacity": 0.75,
            },
            **points(drawn),
        )
    figure.add_vline(x=0, line={"color": RED, "dash": "dash"}, annotation_text=f"{borders.label} border")
    layout(figure, f"decades of the learning rate below the {borders.label} border", OBJECTIVE)
    log_axes(figure, y=True)
    median = statistics.median(
        borders.distance(min(m, key=lambda t: t.objective or 0)) or 0 for m in columns.values()
    )
    caption = (
        f"{count(total, 'trial')} in {count(len(columns), 'column')} of the map. The best run of a column "
        f"lies {median:.2f} decades below its border (median over columns)." + thinned(drawn_count, total)
    )
    return Figure("distance", title, caption, figure)
