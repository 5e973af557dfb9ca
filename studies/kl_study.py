"""How should the KL weight come up? Every schedule an arm, warm-up share and learning rate searched.

All arms end at the same weight, so that their objectives compare. Free bits and capacity change the
objective itself: set them with `objective.kl_rule` and compare reconstructions and samples, not objectives.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Arm, ChoiceAxis, FloatAxis, Plan, Study
from sweep.study.config import TrialConfig

SCHEDULES = ("constant", "linear", "cosine", "logistic", "cyclical")


def _plan(base: TrialConfig, trials: int, lr_low: float, lr_high: float) -> Plan:
    return Plan(
        base=base,
        axes=(
            ChoiceAxis(path="objective.kl_schedule", choices=SCHEDULES),
            FloatAxis(path="objective.kl_warmup_fraction", low=0.05, high=0.6),
            FloatAxis(path="optim.lr", low=lr_low, high=lr_high, log=True),
        ),
        arms=tuple(Arm(name=f"KL {name}", fixed={"objective.kl_schedule": name}) for name in SCHEDULES),
        trials=trials,
    )


STUDY = Study(
    name="kl_study",
    summary="How should the KL weight come up? Schedules, each with its own warm-up and learning rate.",
    plans={
        "smoke": _plan(SMOKE, trials=10, lr_low=1e-4, lr_high=1e-2),
        "laptop": _plan(LAPTOP, trials=25, lr_low=1e-4, lr_high=1e-2),
        "paper": _plan(PAPER, trials=150, lr_low=1e-5, lr_high=1e-1),
    },
)
