"""Records of studies whose truth is known."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from sweep.report.plotted_map import PlottedMap, read
from sweep.store.trials import TrialView

DEPTHS = (8, 6, 5, 4, 3, 2)
POLICIES = ("none", "norm", "value", "percentile", "zscore", "agc")
SEEDS_FROM = 1_000_000


def made_trial(
    number: int,
    *,
    objective: float | None = None,
    params: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
    state: TrialState = TrialState.COMPLETE,
    space: Mapping[str, BaseDistribution] | None = None,
    **facts: Any,
) -> TrialView:
    """A trial that was never run; `facts` are attributes too, such as phase, arm, seed and outcome."""
    named = {"settings": json.dumps(dict(settings))} if settings else {}
    return TrialView(
        FrozenTrial(
            number=number,
            state=state,
            value=math.inf if objective is None else objective,
            datetime_start=None,
            datetime_complete=None,
            params=dict(params or {}),
            distributions=dict(space or {}),
            user_attrs={**(attrs or {}), **facts, **named},
            system_attrs={},
            intermediate_values={},
            trial_id=number,
        )
    )


def changed(trial: TrialView, **facts: Any) -> TrialView:
    """The same trial with other facts, as `made_trial` takes them; `attrs` are added."""
    kept = {"number": trial.number, "objective": trial.objective, "params": trial.params}
    return made_trial(**kept | facts | {"attrs": {**trial.attrs, **facts.get("attrs", {})}})


def depth_records(
    seed: int, effects: Mapping[int, float] | None = None, seeds: int = 5, spread: float = 0.03
) -> list[TrialView]:
    """Confirming runs of every depth: log objective log 300 + effect, with this spread over seeds."""
    noise = np.random.default_rng(seed)
    return [
        made_trial(
            number=len(DEPTHS) * k + j,
            phase="confirm",
            arm=f"depth {depth}",
            seed=SEEDS_FROM + k,
            objective=300 * math.exp((effects or {}).get(depth, 0.0) + spread * noise.standard_normal()),
            outcome="budget",
            params={"model.encoder_depth": depth, "model.decoder_depth": depth, "optim.lr": 1e-3},
            attrs={"confirms": j, "setting": f"{j}", "best_epoch": 12, "model/head_fan_in": 2048},
        )
        for k in range(seeds)
        for j, depth in enumerate(DEPTHS)
    ]


def clip_records(
    seed: int,
    cost: float = 0.0,
    calming: float = 0.0,
    seeds: int = 5,
    spread: float = 0.03,
    shared: float = 0.06,
) -> list[TrialView]:
    """Confirming runs of every clipping policy, and of a constant rate without clipping.

    cost, calming: what clipping adds to the log objective and takes from the log volatility. shared: spread
    of what the runs of one seed have in common. A decayed rate does what clipping does.
    """
    noise = np.random.default_rng(seed)
    arms = [(f"clip {policy}", policy, "wsd") for policy in POLICIES] + [
        ("constant rate", "none", "constant")
    ]
    made = []
    for k in range(seeds):
        common = shared * noise.standard_normal()
        for j, (arm, policy, schedule) in enumerate(arms):
            level = (policy != "none") - (schedule == "constant")
            made.append(
                made_trial(
                    number=len(arms) * k + j,
                    phase="confirm",
                    arm=arm,
                    seed=SEEDS_FROM + k,
                    objective=300 * math.exp(common + cost * level + spread * noise.standard_normal()),
                    outcome="budget",
                    params={"optim.clip": policy, "optim.lr_schedule": schedule, "optim.lr": 1e-3},
                    attrs={
                        "confirms": j,
                        "setting": f"{j}",
                        "stability/grad_norm_volatility": 0.3
                        * math.exp(common - calming * level + spread * noise.standard_normal()),
                    },
                )
            )
    return made


def border_map() -> PlottedMap:
    borders = (-2.7, -2.1, -2.2)
    plane = {
        "searched": "optim.lr",
        "across": [{"name": "depth", "paths": ["model.encoder_depth"], "values": [2, 4, 8]}],
        "cells": [],
    }
    columns = [
        {"column": k, "border": x, "low": x - 0.1, "high": x + 0.1, "runs": 40} for k, x in enumerate(borders)
    ]
    found = read({"study": "border_study", "labels": {"useless": {"plane": plane, "columns": columns}}})
    assert found
    return found


def distance_records(
    seed: int, curvature: float, optimum: float, seeds: int = 5, spread: float = 0.03
) -> list[TrialView]:
    """Full runs at distances below the border of `border_map`: a parabola in the log objective."""
    noise = np.random.default_rng(seed)
    made: list[TrialView] = []
    for column in border_map().labels["useless"]:
        for k in range(seeds):
            for distance in (0.25, 0.75, 1.0, 1.5, 2.0):
                log = math.log(300) + curvature * (distance - optimum) ** 2 + spread * noise.standard_normal()
                made.append(
                    made_trial(
                        number=len(made),
                        phase="distance",
                        seed=SEEDS_FROM + k,
                        objective=math.exp(log),
                        outcome="budget",
                        params={**column.settings, "optim.lr": 10 ** (column.border - distance)},
                        attrs={"best_epoch": 12},
                    )
                )
    return made
