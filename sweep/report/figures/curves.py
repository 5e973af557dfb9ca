"""Learning curves of a few trials, with the gradient norm under them."""

from collections.abc import Mapping, Sequence

from plotly.subplots import make_subplots

from sweep.report.figures.style import SERIES, Figure, layout, log_axes, plain, thin
from sweep.store.trials import TrialView

Curve = Mapping[str, Sequence[float]]
"""Quantity -> values; `step`, `loss` and `grad_norm` are of equal length."""
CURVE_POINTS = 300
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def learning_curves(chosen: Sequence[tuple[str, TrialView, Curve]]) -> Figure:
    """chosen: (why it was chosen, trial, its steps)."""
    title = "Learning curves"
    if not chosen:
        return Figure(
            "curves", title, "", missing="The stores hold no series of steps of the trials to show."
        )
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.6, 0.4])
    for index, (why, trial, series) in enumerate(chosen):
        kept = thin(range(len(series["step"])), CURVE_POINTS)
        name = f"{plain(why)}: trial {trial.number}"
        line = {"color": SERIES[index % len(SERIES)], "dash": DASHES[index % len(DASHES)], "width": 1.6}
        for row, quantity in ((1, "loss"), (2, "grad_norm")):
            figure.add_scatter(
                x=[series["step"][k] for k in kept],
                y=[value if (value := series[quantity][k]) > 0 else None for k in kept],
                mode="lines",
                line=line,
                name=name,
                legendgroup=str(index),
                showlegend=row == 1,
                customdata=[trial.run_id] * len(kept),
                hovertemplate=f"{name}<br>step %{{x}}: {quantity} %{{y:.4g}}<extra></extra>",
                row=row,
                col=1,
            )
    layout(figure, "", "", height=560)
    log_axes(figure, y=True)
    figure.update_yaxes(title="training loss", row=1)
    figure.update_yaxes(title="gradient norm", row=2)
    figure.update_xaxes(title="step", row=2)
    caption = (
        "Training loss (whose KL weight rises during the warm-up) and gradient norm before clipping, at most "
        f"{CURVE_POINTS} points a line: "
        + "; ".join(f"{why}, trial {t.number}" for why, t, _ in chosen)
        + "."
    )
    return Figure("curves", title, caption, figure)


def chosen(trials: Sequence[TrialView]) -> list[tuple[str, TrialView]]:
    """The best, a median and the worst stable trial, and the first unstable one of each kind."""
    finite = sorted((t for t in trials if t.objective is not None), key=lambda t: t.objective or 0)
    picks: list[tuple[str, TrialView]] = []
    if finite:
        picks.append(("best", finite[0]))
        if len(finite) > 2:
            picks += [("median", finite[len(finite) // 2]), ("worst finite", finite[-1])]
    for outcome in ("regressed", "diverged", "nonfinite"):
        picks += [(outcome, t) for t in trials if t.finished and t.outcome == outcome][:1]
    unique = {t.number: (why, t) for why, t in reversed(picks)}
    return sorted(unique.values(), key=picks.index)
