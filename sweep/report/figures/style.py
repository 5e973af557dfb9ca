"""How figures look: colours that colour-blind readers tell apart, a shape for every outcome, safe text."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import plotly.graph_objects as go

from sweep.store.trials import TrialView

# Okabe and Ito (2008), some a little lighter or darker, so that each is seen on white and on near-black.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#2f86c8", "#d08700", "#1b9e77", "#d55e00", "#b9679f", "#858585"
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "hexagon")
VOLATILITY_SCALE = [[0.0, "#2f86c8"], [0.5, "#8aa98a"], [1.0, "#eebc1f"]]

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "budget": (BLUE, "circle"),
    "converged": (GREEN, "diamond"),
    "collapsed": (PURPLE, "square"),
    "regressed": (ORANGE, "triangle-up"),
    "diverged": (RED, "x"),
    "nonfinite": (RED, "cross"),
}
"""Outcome -> colour and shape; the shape alone is enough."""
OTHER = (GREY, "circle-open")

MAX_POINTS = 1500
"""In a scatter plot: more cannot be told apart, and make the page heavy."""
MOST_DECADES = 7
"""That an axis names one by one."""
LABEL_LENGTH = 60


@dataclass(frozen=True)
class Figure:
    """figure is None where there is none, and `missing` says why. wide: scrolled sideways where the
    page is too narrow for it.

    finding: what it shows, in one sentence with its numbers; notes: further sentences. numbers: the same for
    programs, as JSON types. of_search: whether it tells if the search is good enough.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure | None = None
    missing: str = ""
    wide: bool = False
    finding: str = ""
    notes: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    of_search: bool = False

    @property
    def height(self) -> int:
        """In pixels; 0 where there is no figure."""
        return 0 if self.figure is None else int(self.figure.layout.height)


T = TypeVar("T")


def thin(items: Sequence[T], limit: int = MAX_POINTS) -> list[T]:
    """At most `limit` of them, evenly spread, first and last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(k * (len(items) - 1) / (limit - 1))] for k in range(limit)]


def thinned(drawn: int, of: int) -> str:
    """A sentence for the caption; empty where all are drawn."""
    return f" {drawn:,} of {of:,} trials are drawn, evenly chosen." if drawn < of else ""


def plain(text: Any) -> str:
    """Text as text: plotly reads tags and entities in labels. Cut where it is too long for one."""
    shown = str(text)
    if len(shown) > LABEL_LENGTH:
        shown = shown[: LABEL_LENGTH - 1] + "…"
    return html.escape(shown, quote=False)


def hover(trial: TrialView) -> str:
    """What a point says: trial, run, seed, objective, learning rate, outcome."""
    lr = trial.lr
    parts = [
        f"trial {trial.number} ({plain(trial.phase)}), seed {trial.seed}",
        f"run {plain(trial.run_id[:12]) or 'unknown'}",
        "objective " + ("none" if trial.objective is None else f"{trial.objective:.2f}"),
        *([] if lr is None else [f"learning rate {lr:.3g}"]),
        plain(trial.outcome),
    ]
    return "<br>".join(parts)


def points(trials: Sequence[TrialView]) -> dict[str, Any]:
    """What every scatter of trials has: the hover text, and the run that a click opens."""
    return {
        "text": [hover(trial) for trial in trials],
        "customdata": [trial.run_id for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "mode": "markers",
    }


def outcome_style(outcome: str) -> dict[str, Any]:
    color, symbol = OUTCOMES.get(outcome, OTHER)
    return {"color": color, "symbol": symbol}


def series_style(index: int) -> dict[str, Any]:
    """Colour and shape of a group: 36 pairs of them before one comes again."""
    return {
        "color": SERIES[index % len(SERIES)],
        "symbol": SYMBOLS[(index + index // len(SERIES)) % len(SYMBOLS)],
    }


def by_outcome(trials: Sequence[TrialView]) -> dict[str, list[TrialView]]:
    """In the order of `OUTCOMES`, unknown ones last."""
    known = [*OUTCOMES, *sorted({t.outcome for t in trials} - set(OUTCOMES))]
    groups = {outcome: [t for t in trials if t.outcome == outcome] for outcome in known}
    return {outcome: members for outcome, members in groups.items() if members}


def layout(figure: go.Figure, x: str, y: str, height: int = 440, **more: Any) -> go.Figure:
    """The common layout; the page puts colours that follow its dark or light scheme over it."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"t": 20, "l": 60, "r": 20, "b": 50},
        legend={"orientation": "h", "y": -0.2, "x": 0, "yanchor": "top"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        **more,
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    return figure


def log_axes(figure: go.Figure, x: bool = False, y: bool = False, shared: bool = False) -> go.Figure:
    """Logarithmic axes with numbers as ticks: plotly's own are bare digits between the decades, and 100µ.

    shared: all panels have one range, and so the same ticks.
    """
    for letter, wanted in (("x", x), ("y", y)):
        if wanted:
            for name in [key for key in figure.layout if key.startswith(f"{letter}axis")]:
                axis = letter + name.removeprefix(f"{letter}axis")
                values = _values(figure, letter, None if shared else axis)
                figure.layout[name].update(type="log", **_ticks(values))
    return figure


def _values(figure: go.Figure, letter: str, axis: str | None) -> list[float]:
    """Of one axis; None: of all."""
    traces = [trace for trace in figure.data if axis in (None, trace[f"{letter}axis"] or letter)]
    values = [v for trace in traces for v in (trace[letter] if trace[letter] is not None else ())]
    return [float(v) for v in values if isinstance(v, int | float) and 0 < v < math.inf]


def _ticks(values: Sequence[float]) -> dict[str, Any]:
    """Decades where there are many, at 1, 2 and 5 where few, and finer where there is not one."""
    decades = math.log10(max(values) / min(values)) if values else 1.0
    if decades > 3:
        return {"dtick": math.ceil(decades / MOST_DECADES), "exponentformat": "power"}
    if decades > 1 or decades == 0:
        return {"dtick": "D2", "tickformat": "~g", "exponentformat": "none"}
    low, high = (math.floor(math.log10(end(values or [1.0]))) for end in (min, max))
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
    ticks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
