"""A forest plot of blocks: the ratio of every block, and what all of them say together."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from sweep.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Figure,
    count,
    layout,
    log_axes,
    plain,
)

Lost = Literal["above", "below", "both", "missing"]

ROW, MARGINS = 90, 100
LETTERS = 44
"""Of a line of a label: what a narrow page has room for."""
LEAST_REACH = math.log(1.1)
"""The axis reaches at least this far on either side of a ratio of 1."""
MARKS = {"supported": "✓", "contradicted": "✗"}
EDGE = 0.08
SPREAD = 0.22


@dataclass(frozen=True)
class Block:
    """A block's side of a contrast: log_ratio is the natural logarithm of its ratio; None where it has none.

    lost says why: the ratio is beyond the axis, since a run of one side diverged (`above`, `below`: where
    the ratio would lie), `both` diverged, or a run is `missing`.
    """

    name: str
    log_ratio: float | None = None
    lost: Lost = "missing"


@dataclass(frozen=True)
class Row:
    """A contrast of a claim: its blocks, the summary log ratio with the ends of its interval, the verdict.

    summary, low, high: None where there is none; an end may be infinite.
    """

    label: str
    blocks: Sequence[Block] = ()
    summary: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = "inconclusive"

    def lost(self, kind: Lost) -> int:
        return sum(block.log_ratio is None and block.lost == kind for block in self.blocks)


def forest(
    rows: Sequence[Row], ratio: str = "ratio of the objectives", margin: float = 0.05
) -> Figure | None:
    """One line a contrast, however many blocks it has; None without rows.

    ratio: what the ratios are of, for the axis. margin: the smallest effect of interest, as a share of 1;
    it is shaded.
    """
    if not rows:
        return None
    reach = _reach(rows, margin)
    figure = go.Figure()
    figure.add_vrect(
        x0=1 / (1 + margin), x1=1 + margin, fillcolor=GREY, opacity=0.15, line_width=0, layer="below"
    )
    figure.add_vline(x=1, line={"color": GREY, "width": 1.5})
    for index, row in enumerate(rows):
        _add_blocks(figure, row, index, reach)
        _add_summary(figure, row, index, reach)
        # Over its line, and not beside the axis: a narrow page keeps its width for the ratios.
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=index - 0.15,
            yanchor="bottom",
            text=_heading(row),
            showarrow=False,
            align="left",
        )
    layout(figure, plain(ratio), "", height=MARGINS + ROW * len(rows), showlegend=False)
    log_axes(figure, x=True)
    half = math.log10(math.e) * reach * (1 + EDGE)
    figure.update_xaxes(range=[-half, half], zeroline=False)
    figure.update_yaxes(range=[len(rows) - 0.6, -0.85], visible=False)
    figure.update_layout(margin={"l": 10, "r": 10})
    caption = (
        "Dots: a block each. Triangles at the edge: one side diverged there; open squares: both did. Diamond "
        "and line: the summary with its interval. Shaded: below the smallest effect of interest, "
        f"{100 * margin:g} %."
    )
    return Figure(
        "forest",
        "Every block of every contrast",
        caption,
        figure,
        finding=" ".join(sentence(row) for row in rows),
        numbers={"margin": margin, "rows": [_numbers(row) for row in rows]},
    )


def _heading(row: Row) -> str:
    """Verdict and label, on two lines at most."""
    verdict = f"{MARKS.get(row.verdict, '?')} {row.verdict}"
    lines = textwrap.wrap(f"{verdict}: {row.label}", LETTERS, max_lines=2, placeholder=" …")
    first = plain(lines[0]).replace(plain(verdict), f"<b>{plain(verdict)}</b>", 1)
    return "<br>".join([first, *map(plain, lines[1:])])


def sentence(row: Row) -> str:
    """What a row shows, in words with its numbers."""
    found = [block.log_ratio for block in row.blocks if block.log_ratio is not None]
    parts = [f"{count(len(row.blocks), 'block')}"] if row.blocks else ["no block yet"]
    if found:
        parts.append(f"{sum(value > 0 for value in found)} of {len(found)} ratios above 1")
    one, both = row.lost("above") + row.lost("below"), row.lost("both")
    parts += [f"{one} with one side diverged"] if one else []
    parts += [f"{both} with both diverged"] if both else []
    parts += [f"{row.lost('missing')} missing"] if row.lost("missing") else []
    summary = "no summary" if row.summary is None else f"ratio {math.exp(row.summary):.3g}"
    if row.summary is not None and row.low is not None and row.high is not None:
        summary += f" ({_ratio(row.low)} to {_ratio(row.high)})"
    return f"{row.label}: {row.verdict}, {summary}; {', '.join(parts)}."


def _numbers(row: Row) -> dict[str, Any]:
    """As JSON types: an infinite end is None."""
    numbers = asdict(row)
    for name in ("summary", "low", "high"):
        if numbers[name] is not None and not math.isfinite(numbers[name]):
            numbers[name] = None
    return numbers


def _ratio(log: float) -> str:
    return f"{math.exp(log):.3g}" if log < math.inf else "∞"


def _reach(rows: Sequence[Row], margin: float) -> float:
    """Of the axis to either side, as a natural logarithm."""
    values = [block.log_ratio for row in rows for block in row.blocks]
    values += [value for row in rows for value in (row.summary, row.low, row.high)]
    finite = [abs(value) for value in values if value is not None and math.isfinite(value)]
    return 1.08 * max([LEAST_REACH, 1.5 * math.log(1 + margin), *finite])


def _add_blocks(figure: go.Figure, row: Row, index: int, reach: float) -> None:
    """Moved up and down a little in turn, so that equal ones are seen."""
    beyond = reach * (1 + EDGE / 2)
    marks = {
        "above": (beyond, "triangle-right", RED, "one side diverged"),
        "below": (-beyond, "triangle-left", RED, "one side diverged"),
        "both": (0.0, "square-open", PURPLE, "both sides diverged"),
    }
    x, y, symbols, colors, text = [], [], [], [], []
    for number, block in enumerate(row.blocks):
        if block.log_ratio is not None:
            place, symbol, color, said = block.log_ratio, "circle", BLUE, f"{math.exp(block.log_ratio):.3f}"
        elif block.lost == "missing":
            continue
        else:
            place, symbol, color, said = marks[block.lost]
        x.append(math.exp(place))
        y.append(index + SPREAD * ((number * 0.618034) % 1 - 0.5))
        symbols.append(symbol)
        colors.append(color)
        text.append(f"{plain(block.name)}: {said}")
    if x:
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"symbol": symbols, "color": colors, "size": 8, "opacity": 0.7},
            text=text,
            hovertemplate="%{text}<extra></extra>",
            cliponaxis=False,
        )


def _add_summary(figure: go.Figure, row: Row, index: int, reach: float) -> None:
    if row.summary is None or not math.isfinite(row.summary):
        return
    ends = [min(max(end, -reach), reach) for end in (row.low, row.high) if end is not None]
    figure.add_scatter(
        x=[math.exp(end) for end in ends],
        y=[index + 0.2] * len(ends),
        mode="lines",
        line={"color": ORANGE, "width": 3},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[math.exp(row.summary)],
        y=[index + 0.2],
        mode="markers",
        marker={"symbol": "diamond", "size": 13, "color": ORANGE},
        hovertemplate=plain(sentence(row)) + "<extra></extra>",
    )
