"""Objective against each setting that the study searches, with what diverged and the best of every bin."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sweep.report.figures.edges import MARGIN, Edge, edges, sentences
from sweep.report.figures.searched import Cell, at, by_group, cells, searched
from sweep.report.figures.style import (
    GREY,
    ORANGE,
    Figure,
    count,
    layout,
    log_axes,
    plain,
    points,
    series_style,
    thin,
    thinned,
)
from sweep.store.groups import values_of
from sweep.store.labels import format_value, short_names
from sweep.store.trials import TrialView
from sweep.study import Axis, Plan

COLUMNS = 3
PANEL_HEIGHT = 300
MAX_PANEL_POINTS = 500
JITTER = 0.28
MOST_TICK_LETTERS = 24
"""Over all values of a discrete setting: longer ones are written aslant."""


def objective_by_axis(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """Explored trials (of a border study its whole runs), a panel a setting; None where nothing is finite.

    The line is the isolation plot: of each value, or of each bin, the best trial over all other settings.
    """
    found = searched(trials, plan)
    finite = [trial for trial in found if trial.objective is not None]
    panels = [] if plan is None else _panels(plan, found)
    axes = [axis for axis, _ in panels]
    if not axes or not finite:
        return None
    lost = [trial for trial in found if trial.diverged]
    drawn = thin(sorted(finite, key=lambda t: t.objective or 0), MAX_PANEL_POINTS)
    top = _top(finite)
    columns = min(COLUMNS, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes="all", vertical_spacing=0.32 / rows, horizontal_spacing=0.04
    )
    groups = by_group(drawn, plan)
    marked = edges(found, plan)
    isolated: dict[str, list[Cell]] = {}
    for index, axis in enumerate(axes):
        where = {"row": index // columns + 1, "col": index % columns + 1}
        for k, (name, members) in enumerate(groups):
            _add_points(figure, axis, members, name, k, index == 0, where)
        isolated[axis.path] = cells(axis, found)
        _add_isolation(figure, axis, isolated[axis.path], index == 0, where)
        _add_lost(figure, axis, thin(lost, MAX_PANEL_POINTS), top, index == 0, where)
        for side in sorted({edge.at for edge in marked.get(axis.path, []) if edge.widen}):
            _mark_edge(figure, axis, side, where)
    height = 60 + PANEL_HEIGHT * rows + 20 * (len(groups) // 5 + 1)
    layout(figure, "", "", height=height)
    figure.update_layout(legend={"y": -105 / (height - 70)})
    for index, (axis, title) in enumerate(panels):
        where = {"row": index // columns + 1, "col": index % columns + 1}
        figure.update_xaxes(title=plain(title), **where)
        _scale(figure, axis, where)
    for row in range(1, rows + 1):
        figure.update_yaxes(title="objective", row=row, col=1)
    log_axes(figure, y=True, shared=True)
    caption = (
        f"{count(len(found), 'trial')}, {len(lost):,} of them diverged (crosses at the top edge). Grey line: "
        "of each value or bin the best trial over all other settings. All settings vary at once, so the "
        "points show no effect of a setting alone." + thinned(len(drawn), len(finite))
    )
    return Figure(
        "axes",
        "Objective against what was searched",
        caption,
        figure,
        wide=len(axes) > 1,
        finding=_finding(marked),
        notes=sentences(marked),
        numbers={
            "edges": [edge.as_dict() for rows_ in marked.values() for edge in rows_],
            "isolation": {path: [cell.as_dict() for cell in row] for path, row in isolated.items()},
        },
        of_search=True,
    )


def _finding(marked: dict[str, list[Edge]]) -> str:
    if not marked:
        return ""
    names = short_names(list(marked))
    wide = [names[path] for path, rows in marked.items() if any(edge.widen for edge in rows)]
    if not wide:
        return f"The best lies inside the searched range of {count(len(marked), 'numeric setting')}."
    return (
        f"The best lies at the edge of what was searched for {', '.join(f'`{name}`' for name in wide)} "
        f"({len(wide)} of {count(len(marked), 'numeric setting')})."
    )


def _panels(plan: Plan, trials: Sequence[TrialView]) -> list[tuple[Axis, str]]:
    """Axes in which the trials differ, with a title; those equal in all, as two depths, share one."""
    found: dict[tuple[Any, ...], list[Axis]] = {}
    for axis in plan.axes:
        values = tuple(trial.params.get(axis.path) for trial in trials)
        if len(set(values) - {None}) > 1:
            found.setdefault(values, []).append(axis)
    names = short_names([axis.path for axis in plan.axes])
    return [(alike[0], ", ".join(names[axis.path] for axis in alike)) for alike in found.values()]


def _top(finite: Sequence[TrialView]) -> float:
    """Where what has no objective is drawn: above the worst by a tenth of the axis, which is logarithmic."""
    values = [trial.objective for trial in finite if trial.objective and trial.objective > 0]
    if not values:
        return 1.0
    worst, best = max(values), min(values)
    return float(worst * max(worst / best, 1.5) ** 0.1)


def _x(axis: Axis, trial: TrialView) -> float:
    """Of a discrete setting the index of its value, moved aside a little by the number of the trial."""
    value = trial.params[axis.path]
    values = values_of(axis)
    if not values:
        return float(value)
    aside = (trial.number * 0.618034) % 1 - 0.5
    return (values.index(value) if value in values else len(values)) + JITTER * aside


def _add_points(
    figure: go.Figure,
    axis: Axis,
    trials: Sequence[TrialView],
    name: str,
    k: int,
    first: bool,
    where: dict[str, int],
) -> None:
    having = [trial for trial in trials if axis.path in trial.params]
    figure.add_scatter(
        x=[_x(axis, t) for t in having],
        y=[t.objective for t in having],
        name=plain(name),
        legendgroup=name,
        showlegend=first and bool(name),
        marker={**series_style(k), "size": 6, "opacity": 0.75},
        **points(having),
        **where,
    )


def _add_lost(
    figure: go.Figure,
    axis: Axis,
    trials: Sequence[TrialView],
    top: float,
    first: bool,
    where: dict[str, int],
) -> None:
    having = [trial for trial in trials if axis.path in trial.params]
    if not having:
        return
    figure.add_scatter(
        x=[_x(axis, t) for t in having],
        y=[top] * len(having),
        name="diverged",
        legendgroup="diverged",
        showlegend=first,
        marker={"color": "#d55e00", "symbol": "x-thin-open", "size": 9, "line": {"width": 2}},
        cliponaxis=False,
        **points(having),
        **where,
    )


def _add_isolation(
    figure: go.Figure, axis: Axis, isolated: Sequence[Cell], first: bool, where: dict[str, int]
) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    values = values_of(axis)
    labels = [format_value(value) for value in values]
    for cell in isolated:
        best = cell.best
        if best is None:
            continue
        if values:
            ends = [labels.index(cell.label) - 0.35, labels.index(cell.label) + 0.35]
        else:
            assert cell.low is not None
            assert cell.high is not None
            ends = [cell.low, cell.high]
        x += [*ends, None]
        y += [best.objective, best.objective, None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "width": 2.5},
        name="best of a value or bin",
        legendgroup="isolation",
        showlegend=first,
        hoverinfo="skip",
        **where,
    )


def _mark_edge(figure: go.Figure, axis: Axis, side: str, where: dict[str, int]) -> None:
    """A shade over the edge at which a best trial lies."""
    upper = side == "upper"
    if values := values_of(axis):
        numbers = sorted(value for value in values if isinstance(value, int | float))
        index = values.index(numbers[-1] if upper else numbers[0])
        low, high = index - 0.5, index + 0.5
    else:
        assert axis.kind != "choice"
        log = axis.kind == "float" and axis.log
        ends = (1 - MARGIN, 1.0) if upper else (0.0, MARGIN)
        low, high = (at(end, axis.low, axis.high, log) for end in ends)
    figure.add_vrect(x0=low, x1=high, fillcolor=ORANGE, opacity=0.25, line_width=0, layer="below", **where)


def _scale(figure: go.Figure, axis: Axis, where: dict[str, int]) -> None:
    if values := values_of(axis):
        labels = [plain(format_value(value)) for value in values]
        figure.update_xaxes(
            tickmode="array",
            tickvals=list(range(len(labels))),
            ticktext=labels,
            tickangle=30 if sum(map(len, labels)) > MOST_TICK_LETTERS else 0,
            range=[-0.6, len(labels) - 0.4],
            **where,
        )
    elif axis.kind == "float" and axis.log:
        figure.update_xaxes(type="log", exponentformat="power", dtick=1, **where)
