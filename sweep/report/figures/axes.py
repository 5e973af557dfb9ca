"""Objective against each setting that the study searches, one panel an axis."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sweep.report.figures.style import (
    BLUE,
    Figure,
    count,
    hover,
    layout,
    log_axes,
    plain,
    points,
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
KEY, TITLE = "axes", "Objective against what was searched"


def objective_by_axis(trials: Sequence[TrialView], plan: Plan | None) -> Figure:
    """Explored trials (of a border study its whole runs) as points, boxed where an axis is discrete."""
    if plan is None or not plan.axes:
        return Figure(KEY, TITLE, "", missing="This study searches no setting.")
    axes = plan.axes
    finite = [t for t in trials if t.objective is not None and (t.is_explored or plan.border is not None)]
    if not finite:
        return Figure(KEY, TITLE, "", missing="No explored trial has a finite objective.")
    drawn = thin(sorted(finite, key=lambda t: t.objective or 0), MAX_PANEL_POINTS)
    names = short_names([axis.path for axis in axes])
    columns = min(COLUMNS, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, vertical_spacing=0.32 / rows, horizontal_spacing=0.04
    )
    for index, axis in enumerate(axes):
        row, column = index // columns + 1, index % columns + 1
        _add_panel(figure, axis, [t for t in drawn if axis.path in t.params], row, column)
    layout(figure, "", "", height=60 + PANEL_HEIGHT * rows, showlegend=False)
    for index, axis in enumerate(axes):
        row, column = index // columns + 1, index % columns + 1
        figure.update_xaxes(title=plain(names[axis.path]), row=row, col=column)
        _scale(figure, axis, row, column)
    for row in range(1, rows + 1):
        figure.update_yaxes(title="objective", row=row, col=1)
    log_axes(figure, y=True)
    caption = (
        f"{count(len(finite), 'trial')} with a finite objective, a panel for each searched "
        "setting. All settings vary at once, so a panel shows no effect of its setting alone."
    )
    return Figure(KEY, TITLE, caption + thinned(len(drawn), len(finite)), figure, wide=True)


def _add_panel(figure: go.Figure, axis: Axis, trials: Sequence[TrialView], row: int, column: int) -> None:
    y = [t.objective for t in trials]
    if axis.kind == "choice" or values_of(axis):
        figure.add_box(
            x=[plain(format_value(t.params[axis.path])) for t in trials],
            y=y,
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            marker={"color": BLUE, "size": 6, "opacity": 0.75},
            line={"width": 1},
            hoveron="points",
            text=[hover(t) for t in trials],
            customdata=[t.run_id for t in trials],
            hovertemplate="%{text}<extra></extra>",
            row=row,
            col=column,
        )
        return
    figure.add_scatter(
        x=[t.params[axis.path] for t in trials],
        y=y,
        marker={"color": BLUE, "size": 6, "opacity": 0.75},
        **points(trials),
        row=row,
        col=column,
    )


def _scale(figure: go.Figure, axis: Axis, row: int, column: int) -> None:
    if axis.kind == "float":
        if axis.log:
            figure.update_xaxes(type="log", exponentformat="power", row=row, col=column)
        return
    names = [plain(format_value(value)) for value in values_of(axis)]
    if names:
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=names, row=row, col=column)
