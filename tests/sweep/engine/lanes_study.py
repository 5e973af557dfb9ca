"""Trials to run beside each other: many short ones, and a few of which some go wrong.

They are those of `tiny_study`, whose seeds give the same runs.
"""

from typing import Any

from sweep.study import Arm, IntAxis, Plan, Study
from tests.sweep.engine.tiny_study import BASE

MANY = range(24)
HUGE = {"model.base_channels": 300_000, "model.max_channels": 300_000}
TROUBLED: dict[int, dict[str, Any]] = {0: {}, 1: {}, 2: {"optim.lr": 1e6}, 3: {"device": "cuda"}, 4: HUGE}
"""Seed -> what is different about it: it diverges, it raises, it does not fit into memory."""


def _plan(arms: dict[int, dict[str, Any]]) -> Plan:
    return Plan(
        base=BASE,
        axes=(IntAxis(path="seed", low=0, high=max(arms)),),
        arms=tuple(
            Arm(name=f"seed {seed}", fixed={"seed": seed}, settings=settings)
            for seed, settings in arms.items()
        ),
        trials=len(arms),
    )


STUDY = Study(
    name="tiny",
    summary="Trials to run beside each other.",
    plans={"smoke": _plan({seed: {} for seed in MANY}), "laptop": _plan(TROUBLED)},
)
