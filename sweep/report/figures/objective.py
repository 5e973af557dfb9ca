"""Objective by arm, against volatility, and by encoder and decoder depth."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go

from sweep.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
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
from sweep.store.groups import geometric_mean, grouping_of
from sweep.store.keys import VOLATILITY
from sweep.store.trials import BLOCK, TrialView, confirmed
from sweep.study import Plan

OBJECTIVE = "objective (validation loss an image)"


def objective_by_group(trials: Sequence[TrialView], plan: Plan | None) -> Figure:
    """Every finite trial at its arm, or at its value of the axis that groups it, and the confirmed means."""
    grouping = grouping_of(plan)
    title = f"Objective by {grouping.title}" if grouping else "Objective"
    finite = [t for t in trials if t.objective is not None]
    if not finite:
        return Figure("objective", title, "", missing="No trial has a finite objective.")

    def place(trial: TrialView) -> str:
        return plain((grouping.group_of(trial) if grouping else trial.arm) or "all")

    drawn = thin(sorted(finite, key=lambda t: t.objective or 0))
    known = [plain(name) for name in grouping.names] if grouping else []
    present = {place(trial) for trial in finite}
    names = [n for n in known if n in present] + sorted(present - set(known))
    figure = go.Figure()
    for phase, symbol, color in _phases(drawn):
        members = [t for t in drawn if t.phase == phase]
        figure.add_scatter(
            x=[place(t) for t in members],
            y=[t.objective for t in members],
            name=f"trial ({plain(phase)})",
            marker={"color": color, "symbol": symbol, "size": 8, "opacity": 0.8},
            **points(members),
        )
    seeds = _add_means(figure, trials, names, place)
    caption = (
        f"{count(len(finite), 'trial')} with a finite objective; smaller is better; the axis is logarithmic. "
        + (
            f"Bars: geometric mean and 95 % t interval of the confirming runs, {seeds} seeds each."
            if seeds
            else "Runs of blocks are validated on other tiles each; the claims rest on them."
            if any(trial.phase == BLOCK for trial in finite)
            else "Every setting was run once, so there is no interval: one run proves nothing."
        )
        + thinned(len(drawn), len(finite))
    )
    layout(figure, plain(grouping.title) if grouping else "", OBJECTIVE)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    log_axes(figure, y=True)
    return Figure("objective", title, caption, figure)


def _phases(trials: Sequence[TrialView]) -> list[tuple[str, str, str]]:
    """Phase, shape, colour."""
    styles = {"explore": ("circle", BLUE), "confirm": ("diamond", ORANGE), BLOCK: ("square", GREY)}
    names = sorted({t.phase for t in trials}, key=lambda name: (name not in styles, name))
    return [(name, *styles.get(name, ("square", RED))) for name in names]


def _add_means(
    figure: go.Figure, trials: Sequence[TrialView], names: Sequence[str], place: Callable[[TrialView], str]
) -> int:
    """The most seeds that an arm has; 0 where none has two."""
    rows: list[tuple[str, float, float, float]] = []
    most = 0
    for runs in confirmed(trials).values():
        spread = geometric_mean(runs)
        if spread is not None and place(runs[0]) in names:
            rows.append((place(runs[0]), *spread))
            most = max(most, len(runs))
    rows.sort(key=lambda row: names.index(row[0]))
    if rows:
        figure.add_scatter(
            x=[row[0] for row in rows],
            y=[row[1] for row in rows],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row[3] - row[1] for row in rows],
                "arrayminus": [row[1] - row[2] for row in rows],
                "thickness": 2,
                "width": 8,
            },
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 16, "color": RED, "line": {"width": 3, "color": RED}},
            name="mean, 95 % interval",
            hovertemplate="%{x}: mean %{y:.1f}<extra></extra>",
        )
    return most


def quality_by_volatility(trials: Sequence[TrialView]) -> Figure:
    title = "Quality against volatility"
    found = [t for t in trials if t.objective is not None and (t.number_of(VOLATILITY) or 0) > 0]
    if not found:
        why = "No trial has both a finite objective and a volatility (16 steps at least)."
        return Figure("volatility", title, "", missing=why)
    drawn = thin(sorted(found, key=lambda t: t.objective or 0))
    figure = go.Figure()
    for outcome, members in by_outcome(drawn).items():
        figure.add_scatter(
            x=[t.number_of(VOLATILITY) for t in members],
            y=[t.objective for t in members],
            name=plain(outcome),
            marker={**outcome_style(outcome), "size": 8, "opacity": 0.85},
            **points(members),
        )
    layout(figure, "gradient-norm volatility over the last 128 steps", OBJECTIVE)
    log_axes(figure, x=True, y=True)
    caption = f"{count(len(found), 'trial')}; both axes are logarithmic." + thinned(len(drawn), len(found))
    return Figure("volatility", title, caption, figure)


def depth_heat_map(trials: Sequence[TrialView]) -> Figure:
    title = "Encoder by decoder depth"
    cells: dict[tuple[int, int], list[float]] = {}
    for trial in trials:
        if trial.depths and trial.objective is not None:
            cells.setdefault(trial.depths, []).append(trial.objective)
    if len(cells) < 2:
        return Figure("depths", title, "", missing="Fewer than two pairs of depths have a finite objective.")
    encoders = sorted({encoder for encoder, _ in cells})
    decoders = sorted({decoder for _, decoder in cells})
    figure = go.Figure(_cells(cells, encoders, decoders))
    layout(figure, "decoder depth", "encoder depth")
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category")
    runs = sum(len(values) for values in cells.values())
    caption = (
        f"The best objective of each pair and how many of {runs:,} finite trials it had; darker is better."
    )
    return Figure("depths", title, caption, figure)


def _cells(
    cells: Mapping[tuple[int, int], Sequence[float]], encoders: Sequence[int], decoders: Sequence[int]
) -> go.Heatmap:
    def of(encoder: int, decoder: int, form: str) -> str:
        values = cells.get((encoder, decoder))
        if not values:
            return ""
        return form.format(min(values), statistics.median(values), len(values))

    return go.Heatmap(
        x=[str(d) for d in decoders],
        y=[str(e) for e in encoders],
        z=[
            [
                math.log10(min(cells[e, d])) if (e, d) in cells and min(cells[e, d]) > 0 else None
                for d in decoders
            ]
            for e in encoders
        ],
        text=[[of(e, d, "{0:.0f} ({2})") for d in decoders] for e in encoders],
        customdata=[
            [of(e, d, "best {0:.1f}, median {1:.1f}, {2} trials") for d in decoders] for e in encoders
        ],
        texttemplate="%{text}",
        hovertemplate="encoder %{y}, decoder %{x}: %{customdata}<extra></extra>",
        colorscale="Cividis",
        showscale=False,
        xgap=2,
        ygap=2,
    )
