"""Learning-rate sensitivity over the grid of the blocks: what each arm loses where its rate is not tuned."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sweep.evidence.sensitivity import ArmSensitivity, Spread, arm_sensitivities
from sweep.report.figures.style import Figure, count, layout, plain, series_style
from sweep.store.trials import TrialView
from sweep.study import Plan

CAPTION = (
    "Excess: min(validation loss, loss at initialisation) - loss at the best rate, in each block. Points: "
    "its mean over blocks at each rate of the grid, with 95 % t intervals; legend: the mean over rates, "
    "the sensitivity (Wortsman et al. 2023, arXiv 2309.14322). A diverged run counts as "
)
KNOWN = "the loss at initialisation (the first training loss)."
UNKNOWN = "the worst finite objective (the loss at initialisation was not recorded)."
ENDED = " A run that was ended early counts by its best until then, so its excess is at most what is shown."


def grid_sensitivity(trials: Sequence[TrialView], plan: Plan | None) -> Figure | None:
    """None where fewer than two blocks with two rates are finished."""
    rows = arm_sensitivities(plan, trials)
    if not rows:
        return None
    figure = go.Figure()
    for index, row in enumerate(rows):
        style = series_style(index)
        figure.add_scatter(
            x=[each.rate for each in row.rates],
            y=[100 * each.relative for each in row.rates],
            error_y={
                "type": "data",
                "array": [100 * (each.high - each.relative) for each in row.rates],
                "color": style["color"],
                "thickness": 1,
            },
            mode="lines+markers",
            line={"color": style["color"], "width": 2},
            marker={**style, "size": 9},
            name=f"{plain(row.arm)}: {percent(row.relative)}",
            text=[f"{each.diverged} diverged, {each.ended_early} ended early" for each in row.rates],
            hovertemplate=f"{plain(row.arm)}<br>at %{{x:.2g}}: %{{y:.3g}} % above the best, "
            f"{count(row.blocks, 'block')}, %{{text}}<extra></extra>",
        )
    layout(figure, "learning rate", "mean excess loss, % of the best", height=400, showlegend=True)
    figure.update_xaxes(type="log", dtick="D2", tickformat="~g", exponentformat="none")
    known = all(row.start_known for row in rows)
    early = any(each.ended_early for row in rows for each in row.rates)
    return Figure(
        "grid_sensitivity",
        "Learning-rate sensitivity over the blocks' grid",
        CAPTION + (KNOWN if known else UNKNOWN) + (ENDED if early else ""),
        figure,
        finding=_finding(rows),
        numbers={"arms": [row.as_dict() for row in rows]},
        of_search=True,
    )


def percent(spread: Spread) -> str:
    """12 % (8 to 16)."""
    mean, low, high = (100 * value for value in spread)
    return f"{mean:.2g} % ({low:.2g} to {high:.2g})"


def _finding(rows: Sequence[ArmSensitivity]) -> str:
    least, most = min(rows, key=lambda r: r.relative[0]), max(rows, key=lambda r: r.relative[0])
    if len(rows) == 1:
        return f"Over its grid, {most.arm} loses {percent(most.relative)} in {count(most.blocks, 'block')}."
    return (
        f"Over the grid, {most.arm} loses most, {percent(most.relative)} in {count(most.blocks, 'block')}; "
        f"{least.arm} least, {percent(least.relative)} in {count(least.blocks, 'block')}."
    )
