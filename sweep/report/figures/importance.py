"""Importance of the settings, by two methods of Optuna's that ask different questions."""

import contextlib
import html
import math
import warnings
from collections.abc import Iterator, Sequence

import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import FrozenTrial, create_trial

from sweep.report.figures.style import BLUE, ORANGE, Figure, layout, plain, thin
from sweep.store.trials import TrialView

MAX_TRIALS, TREES = 200, 32
"""That the importance is estimated from: with 400 and 64 it takes 15 s of a core, and gives the same."""
FEWEST = 4


def importance(trials: Sequence[TrialView]) -> Figure | None:
    """None where too few explored trials are finite, or their objectives do not differ."""
    finite = _finite(trials)
    names = _names(finite)
    if len(finite) < FEWEST or len(names) < 1:
        return None
    drawn = thin(finite, MAX_TRIALS)
    copy = _copy(drawn, names)
    try:
        fanova = _found(copy, FanovaImportanceEvaluator(n_trees=TREES, seed=0))
    except (RuntimeError, ValueError):  # fANOVA finds no variance: all objectives are equal
        return None
    # Named, and not left to Optuna: its default was fANOVA before version 5.
    ped = _found(copy, PedAnovaImportanceEvaluator())
    order = sorted(fanova, key=lambda name: fanova[name])
    figure = go.Figure(
        [
            go.Bar(
                x=[found.get(name, 0.0) for name in order],
                y=order,
                orientation="h",
                name=title,
                marker={"color": color},
                text=[f"{found.get(name, 0.0):.2f}" for name in order],
                hovertemplate=title + ": %{y} %{x:.3f}<extra></extra>",
            )
            for title, color, found in (("PED-ANOVA", ORANGE, ped), ("fANOVA", BLUE, fanova))
        ]
    )
    layout(figure, "share of the importance", "", height=150 + 44 * len(order))
    figure.update_layout(legend={"traceorder": "reversed", "y": -70 / (150 + 44 * len(order))}, bargap=0.3)
    caption = (
        "fANOVA (Hutter et al. 2014): share of the variance of the log objective over what was explored. "
        "PED-ANOVA (Watanabe et al. 2023, Optuna's default since version 5): share in being among the best "
        f"tenth. From {len(drawn):,} explored trials, the sampler's choice included; it is no test."
    )
    first, other = order[-1], max(ped, key=lambda name: ped[name], default=order[-1])
    finding = f"By fANOVA `{html.unescape(first)}` matters most ({fanova[first]:.2f})"
    if other == first:
        finding += f", and by PED-ANOVA too ({ped.get(first, 0.0):.2f})."
    else:
        finding += (
            f", by PED-ANOVA `{html.unescape(other)}` ({ped[other]:.2f}): the two ask different questions."
        )
    return Figure(
        "importance",
        "Importance of the settings: fANOVA and PED-ANOVA",
        caption,
        figure,
        finding=finding,
        numbers={"trials": len(drawn), "fanova": fanova, "ped_anova": ped},
        of_search=True,
    )


def _found(study: optuna.Study, evaluator: BaseImportanceEvaluator) -> dict[str, float]:
    with _quiet():
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, target=_log10))


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
