"""Pictures of a border map: every run, the border with its band, and where whole runs were best.

One drawing with Plotly, for the self-contained page, and the same with Matplotlib, which MLflow brings
along, for the PNG: it needs no browser.
"""

import math
from pathlib import Path
from typing import Any

from sweep.border.map import BorderMap
from sweep.border.model import BorderModel

WIDEST = 18
"""Inches beyond which the panels stand in two rows."""
CROSSED, STABLE, BORDER, QUALITY = "#d55e00", "#0072b2", "#000000", "#009e73"


def as_png(found: BorderMap, path: Path) -> None:
    """One panel a label, columns across, log10 of the searched setting up, and one of the trained runs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = len(found.models) + bool(found.trained)
    width = max(4.2, 0.75 * len(found.plan.plane.columns) + 1.6)
    rows = 1 if width * panels <= WIDEST else 2
    across = math.ceil(panels / rows)
    figure = Figure(figsize=(width * across, 5.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, across, squeeze=False).flat)
    for empty in axes[panels:]:
        empty.set_axis_off()
    axes = axes[:panels]
    for axis, model in zip(axes, found.models.values(), strict=False):
        _panel(axis, found, model)
    if found.trained:
        _trained_panel(axes[-1], found)
    figure.savefig(path, dpi=110)


def _panel(axis: Any, found: BorderMap, model: BorderModel) -> None:
    for crossed, colour, marker, name in ((True, CROSSED, "x", "crossed"), (False, STABLE, "o", "stable")):
        runs = [run for run in model.runs if run.crossed is crossed]
        axis.scatter(
            [run.column + _aside(model, run.seed) for run in runs],
            [run.x for run in runs],
            c=colour,
            marker=marker,
            s=22,
            alpha=0.7,
            label=name,
        )
    known = [row for row in model.columns if row.border is not None]
    if known:
        axis.errorbar(
            [row.column for row in known],
            [row.border for row in known],
            [[row.border - row.low for row in known], [row.high - row.border for row in known]],  # type: ignore[operator]
            fmt="_",
            color=BORDER,
            markersize=22,
            markeredgewidth=2,
            capsize=4,
            label="border, 90 % band",
        )
    axis.set_title(f"{model.label} border")
    axis.set_ylabel(f"log10 {found.plan.plane.searched}")
    axis.set_xticks(range(len(model.columns)), _ticks(found), rotation=45, ha="right", fontsize=8)
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, loc="best")


def _trained_panel(axis: Any, found: BorderMap) -> None:
    """A line a seed, in its column's colour; runs without a finite objective are crosses at the top."""
    top = max((ratio for *_, ratio in _ratios(found)), default=1.0) * 1.5
    for index, column in enumerate(dict.fromkeys(run.column for run in found.trained)):
        colour = f"C{index}"
        mine = [run for run in found.trained if run.column == column]
        for seed in sorted({run.seed for run in mine}):
            points = [(x, ratio) for name, of, x, ratio in _ratios(found) if (name, of) == (column, seed)]
            axis.plot(*zip(*sorted(points), strict=True) if points else ([], []), "o-", color=colour)
        # Beside those of the other columns, which were lost at the same distance.
        lost = [run.distance + 0.02 * index for run in mine if run.objective is None]
        axis.plot(lost, [top] * len(lost), "x", color=colour)
        axis.plot([], [], "o-", color=colour, label=f"{column} ({len(lost)} of {len(mine)} diverged: x)")
    axis.set_yscale("log")
    axis.set_xlabel(f"decades below the {found.plan.distance_label} border")
    axis.set_ylabel("objective / best of its column")
    axis.set_title("whole runs")
    axis.grid(alpha=0.25, which="both")
    axis.legend(fontsize=8)


def _ratios(found: BorderMap) -> list[tuple[str, int, float, float]]:
    """Of runs with an objective: column, seed, distance, and how many times the best of the column it is."""
    finite = [(run, run.objective) for run in found.trained if run.objective is not None]
    best: dict[str, float] = {}
    for run, objective in finite:
        best[run.column] = min(objective, best.get(run.column, math.inf))
    return [(run.column, run.seed, run.distance, value / best[run.column]) for run, value in finite]


def as_html(found: BorderMap) -> str:
    """A page that needs nothing else: Plotly's own script is in it. Every point names its trial."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = [f"{label} border" for label in found.models] + ["whole runs"] * bool(found.trained)
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles)
    for place, model in enumerate(found.models.values(), start=1):
        for trace in _traces(go, model, first=place == 1):
            figure.add_trace(trace, row=1, col=place)
        figure.update_xaxes(tickvals=list(range(len(model.columns))), ticktext=_ticks(found), col=place)
        figure.update_yaxes(title_text=f"log10 {found.plan.plane.searched}", col=place)
    if found.trained:
        for trace in _trained_traces(go, found):
            figure.add_trace(trace, row=1, col=len(titles))
        last = len(titles)
        figure.update_xaxes(title_text=f"decades below the {found.plan.distance_label} border", col=last)
        figure.update_yaxes(title_text="objective", type="log", col=last)
    figure.update_layout(template="plotly_white", height=560, title=found.study)
    return str(figure.to_html(include_plotlyjs=True))


def _traces(go: Any, model: BorderModel, first: bool) -> list[Any]:
    traces = []
    for crossed, colour, symbol, name in (
        (True, CROSSED, "x", "crossed"),
        (False, STABLE, "circle", "stable"),
    ):
        runs = [run for run in model.runs if run.crossed is crossed]
        traces.append(
            go.Scatter(
                x=[run.column + _aside(model, run.seed) for run in runs],
                y=[run.x for run in runs],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "opacity": 0.7},
                name=name,
                legendgroup=name,
                showlegend=first,
                customdata=[[run.trial, run.seed, run.steps] for run in runs],
                hovertemplate="trial %{customdata[0]}, seed %{customdata[1]}<br>%{y:.3f}, "
                "%{customdata[2]} steps",
            )
        )
    known = [row for row in model.columns if row.border is not None]
    traces.append(
        go.Scatter(
            x=[row.column for row in known],
            y=[row.border for row in known],
            error_y={
                "type": "data",
                "array": [(row.high or 0) - (row.border or 0) for row in known],
                "arrayminus": [(row.border or 0) - (row.low or 0) for row in known],
            },
            mode="markers",
            marker={"color": BORDER, "symbol": "line-ew-open", "size": 20},
            name="border, 90 % band",
            legendgroup="border",
            showlegend=first,
            customdata=[[row.name, row.runs, row.steps] for row in known],
            hovertemplate="%{customdata[0]}<br>%{y:.3f} from %{customdata[1]} runs, %{customdata[2]} steps",
        )
    )
    return traces


def _trained_traces(go: Any, found: BorderMap) -> list[Any]:
    traces = []
    for column, seed in dict.fromkeys((run.column, run.seed) for run in found.trained):
        runs = [run for run in found.trained if (run.column, run.seed) == (column, seed)]
        runs = sorted((run for run in runs if run.objective is not None), key=lambda run: run.distance)
        traces.append(
            go.Scatter(
                x=[run.distance for run in runs],
                y=[run.objective for run in runs],
                mode="lines+markers",
                name=f"{column}, seed {seed}",
                customdata=[[run.trial] for run in runs],
                hovertemplate="trial %{customdata[0]}<br>%{y:.1f}",
            )
        )
    return traces


def _ticks(found: BorderMap) -> list[str]:
    names = [found.plan.plane.name(column) for column in found.plan.plane.columns]
    if len(set(found.fan_ins)) == 1:
        return names
    return [f"{name} (fan-in {fan_in})" for name, fan_in in zip(names, found.fan_ins, strict=True)]


def _aside(model: BorderModel, seed: int) -> float:
    """Seeds side by side within their column."""
    known = sorted({run.seed for run in model.runs})
    middle = (len(known) - 1) / 2
    return 0.0 if math.isclose(middle, 0) else 0.18 * (known.index(seed) - middle) / middle
