"""Parallel coordinates and parameter importance, both Optuna's."""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence

import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, create_trial
from plotly.colors import sample_colorscale

from sweep.report.figures.style import BLUE, Figure, layout, plain, thin, thinned
from sweep.store.trials import TrialView

MAX_TRIALS, TREES = 200, 32
"""That the importance is estimated from: with 400 and 64 it takes 15 s of a core, and gives the same."""
MAX_LINES = 200
FEWEST = 4
GOOD_TO_BAD = [[0.0, "#e06000"], [0.3, "#c79a3c"], [1.0, "#7d8590"]]
"""Visible on white and on near-black."""


def parallel_coordinates(trials: Sequence[TrialView]) -> Figure:
    title = "Parallel coordinates"
    finite = _finite(trials)
    names = _names(finite)
    if len(finite) < 2 or not names:
        return Figure(
            "parallel", title, "", missing="Fewer than two explored trials have a finite objective."
        )
    drawn = thin(sorted(finite, key=lambda t: t.values[0]), MAX_LINES)
    with _quiet():
        figure = optuna.visualization.plot_parallel_coordinate(
            _copy(drawn, names), target=_log10, target_name="log10 objective"
        )
    figure.update_layout(title=None)
    _name_lines(figure, drawn)
    layout(figure, "", "", height=440)
    figure.update_layout(margin={"t": 20, "l": 70, "r": 40, "b": 60})
    caption = f"{len(finite):,} explored trials, a line each; orange lines are good, grey ones are not."
    return Figure("parallel", title, caption + thinned(len(drawn), len(finite)), figure, wide=True)


def _name_lines(figure: go.Figure, drawn: Sequence[FrozenTrial]) -> None:
    """Optuna's lines say no trial and fade into a dark page: give them names, runs and colours.

    drawn: best first. A line's place on the first axis, the objective, tells which trial it is.
    """
    lines = sorted((line for line in figure.data if line.mode == "lines"), key=lambda line: line.y[0])
    for rank, (line, trial) in enumerate(zip(lines, drawn, strict=True)):
        color = sample_colorscale(GOOD_TO_BAD, [rank / max(1, len(drawn) - 1)])[0]
        run = TrialView(trial).run_id
        name = f"trial {trial.number}, run {plain(run[:12]) or 'unknown'}, objective {trial.values[0]:.2f}"
        line.update(
            line={"color": color, "width": 1.4},
            opacity=0.75,
            text=[f"{label}: {value}" for label, value in line.customdata],
            customdata=[run] * len(line.x),
            hovertemplate=f"{name}<br>%{{text}}<extra></extra>",
        )
    for scale in figure.data:
        if scale.mode == "markers":
            scale.marker.update(colorscale=GOOD_TO_BAD, reversescale=False)


def importance(trials: Sequence[TrialView]) -> Figure:
    title = "Parameter importance"
    finite = _finite(trials)
    names = _names(finite)
    if len(finite) < FEWEST or len(names) < 1:
        why = f"Fewer than {FEWEST} explored trials have a finite objective."
        return Figure("importance", title, "", missing=why)
    drawn = thin(finite, MAX_TRIALS)
    copy = _copy(drawn, names)
    try:
        with _quiet():
            found = optuna.importance.get_param_importances(
                copy,
                evaluator=optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0),
                target=_log10,
            )
    except (RuntimeError, ValueError):  # fANOVA finds no variance: all objectives are equal
        return Figure(
            "importance", title, "", missing="The objectives do not differ, so nothing is important."
        )
    order = sorted(found, key=lambda name: found[name])
    figure = go.Figure(
        go.Bar(
            x=[found[name] for name in order],
            y=order,
            orientation="h",
            marker={"color": BLUE},
            text=[f"{found[name]:.2f}" for name in order],
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    layout(figure, "share of the variance (fANOVA)", "", height=120 + 36 * len(order))
    caption = (
        f"Of the log objective, from {len(drawn):,} explored trials. It describes what was explored, "
        "the sampler's choice included, and is no test."
    )
    return Figure("importance", title, caption, figure)


def _log10(trial: FrozenTrial) -> float:
    return math.log10(max(trial.values[0], 1e-12))


def _finite(trials: Sequence[TrialView]) -> list[FrozenTrial]:
    return [t.stored for t in trials if t.finished and t.objective is not None and t.is_explored and t.params]


def _names(trials: Sequence[FrozenTrial]) -> dict[str, str]:
    """Parameter -> a short label, for those that every trial has and that differ between trials."""
    if not trials:
        return {}
    shared = set.intersection(*(set(t.params) for t in trials))
    varied = [p for p in trials[0].params if p in shared and len({t.params[p] for t in trials}) > 1]
    labels: dict[str, str] = {}
    for path in varied:
        label = plain(path.rpartition(".")[2])
        labels[path] = label if label not in labels.values() else plain(path)
    return labels


def _copy(trials: Sequence[FrozenTrial], names: dict[str, str]) -> optuna.Study:
    """In memory, with labels for names: Optuna puts them into its figures as they are."""
    study = optuna.create_study(direction="minimize")
    with _quiet():
        study.add_trials(
            [
                create_trial(
                    value=t.values[0],
                    params={label: _value(t, path) for path, label in names.items()},
                    distributions={label: _distribution(t, path) for path, label in names.items()},
                )
                for t in trials
            ]
        )
    return study


def _value(trial: FrozenTrial, path: str) -> object:
    value = trial.params[path]
    return plain(value) if isinstance(value, str) else value


def _distribution(trial: FrozenTrial, path: str) -> optuna.distributions.BaseDistribution:
    known = trial.distributions[path]
    if not isinstance(known, CategoricalDistribution):
        return known
    return CategoricalDistribution([plain(c) if isinstance(c, str) else c for c in known.choices])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings of what is experimental and of equal distributions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
