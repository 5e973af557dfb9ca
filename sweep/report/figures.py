"""Figures of a report, as plotly figures; every point names its trial."""

from collections.abc import Sequence

import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from sweep.summary import DEPTHS, by_depth, finite_trials


def objective_by_depth(trials: Sequence[FrozenTrial]) -> go.Figure | None:
    """Objective of every finite trial at its depths, and the best of each; None without depths."""
    groups = [group for group in by_depth(trials) if group.best is not None]
    if not groups:
        return None
    points = [t for t in finite_trials(trials) if all(path in t.params for path in DEPTHS)]
    figure = go.Figure(
        go.Scatter(
            x=[_label(*(int(t.params[path]) for path in DEPTHS)) for t in points],
            y=[t.values[0] for t in points],
            mode="markers",
            name="trial",
            marker={"color": "#0072b2", "opacity": 0.6, "size": 9},
            customdata=[[t.number, t.params.get("optim.lr", float("nan"))] for t in points],
            hovertemplate="trial %{customdata[0]}<br>learning rate %{customdata[1]:.2g}<br>%{y:.2f}",
        )
    )
    figure.add_scatter(
        x=[_label(group.encoder_depth, group.decoder_depth) for group in groups],
        y=[group.best for group in groups],
        mode="lines+markers",
        name="best",
        line={"color": "#d55e00", "width": 2},
        marker={"symbol": "diamond", "size": 10},
    )
    figure.update_layout(
        xaxis={
            "title": "encoder / decoder depth",
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [_label(group.encoder_depth, group.decoder_depth) for group in groups],
        },
        yaxis={"title": "objective (validation loss an image)", "type": "log"},
        template="plotly_white",
        height=420,
        margin={"t": 30},
    )
    return figure


def _label(encoder: int, decoder: int) -> str:
    return f"{encoder} / {decoder}"
