"""Records of studies whose truth is known."""

import math
from collections.abc import Mapping

import numpy as np

from sweep.report.bordermap import BorderMap, read
from sweep.store.trials import Record

DEPTHS = (8, 6, 5, 4, 3, 2)
POLICIES = ("none", "norm", "value", "percentile", "zscore", "agc")
SEEDS_FROM = 1_000_000


def depth_records(
    seed: int, effects: Mapping[int, float] | None = None, seeds: int = 5, spread: float = 0.03
) -> list[Record]:
    """Confirming runs of every depth: log objective log 300 + effect, with this spread over seeds."""
    noise = np.random.default_rng(seed)
    return [
        Record(
            number=len(DEPTHS) * k + j,
            state="complete",
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
) -> list[Record]:
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
                Record(
                    number=len(arms) * k + j,
                    state="complete",
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


CLIP_FACTORS = frozenset({"optim.clip", "optim.lr_schedule"})


def border_map() -> BorderMap:
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
) -> list[Record]:
    """Full runs at distances below the border of `border_map`: a parabola in the log objective."""
    noise = np.random.default_rng(seed)
    made: list[Record] = []
    for column in border_map().labels["useless"]:
        for k in range(seeds):
            for distance in (0.25, 0.75, 1.0, 1.5, 2.0):
                log = math.log(300) + curvature * (distance - optimum) ** 2 + spread * noise.standard_normal()
                made.append(
                    Record(
                        number=len(made),
                        state="complete",
                        phase="distance",
                        seed=SEEDS_FROM + k,
                        objective=math.exp(log),
                        outcome="budget",
                        params={**column.settings, "optim.lr": 10 ** (column.border - distance)},
                        attrs={"best_epoch": 12},
                    )
                )
    return made
