"""Searches whose surface is known: explored trials of a plan with one rate, and of one with two arms."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studies.base import SMOKE
from sweep.search.sampling import search_space
from sweep.store.trials import TrialView
from sweep.study import Arm, ChoiceAxis, FloatAxis, IntAxis, Plan
from tests.sweep.report.synthetic import made_trial

LR, DEPTH, CLIP = "optim.lr", "model.encoder_depth", "optim.clip"
RATES = FloatAxis(path=LR, low=1e-4, high=1e-1, log=True)
ALONE = Plan(base=SMOKE, axes=(RATES, ChoiceAxis(path=CLIP, choices=("none", "norm"))), trials=9)
ARMS = Plan(
    base=SMOKE,
    axes=(RATES, IntAxis(path=DEPTH, low=2, high=8)),
    arms=tuple(Arm(name=f"depth {d}", fixed={DEPTH: d}) for d in (2, 8)),
    trials=8,
)


def trial(number: int, rate: float, objective: float | None, **more: Any) -> TrialView:
    params: Mapping[str, Any] = {LR: rate, CLIP: ("none", "norm")[number % 2], **more.pop("params", {})}
    outcome = "diverged" if objective is None else "budget"
    more = {"space": search_space(ALONE), **more}
    return made_trial(number, objective=objective, params=params, outcome=outcome, **more)


def with_curve(found: TrialView, values: Sequence[float]) -> TrialView:
    found.stored.intermediate_values.update(enumerate(values, start=1))
    return found


def parabola(best_rate: float, wide: float = 1.0, first: int = 0, **more: Any) -> list[TrialView]:
    """Nine rates over the whole axis: 300 at the best, e-fold in `wide` decades; the largest two diverge."""
    rates = [1e-4 * 10 ** (3 * k / 8) for k in range(9)]
    return [
        trial(
            first + k,
            rate,
            300 * math.exp((math.log10(rate / best_rate) / wide) ** 2) if k < 7 else None,
            **more,
        )
        for k, rate in enumerate(rates)
    ]


def of_arm(depth: int, trials: Sequence[TrialView]) -> list[TrialView]:
    return [
        made_trial(
            t.number,
            objective=t.objective,
            params={LR: t.params[LR], DEPTH: depth},
            outcome=t.outcome,
            arm=f"depth {depth}",
            attrs=t.attrs,
        )
        for t in trials
    ]
