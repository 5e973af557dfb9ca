"""Does what stabilises training cost image quality? Clipping policies and learning-rate schedules.

Every clipping policy is an arm; schedule and learning rate are searched within it, over the same few
values for all, so that policies can be compared at equal schedule and rate.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.config import TrialConfig, with_settings
from sweep.study import Arm, ChoiceAxis, Plan, Study

POLICIES = ("none", "norm", "value", "percentile", "zscore", "agc")


def _plan(base: TrialConfig, trials: int) -> Plan:
    return Plan(
        base=with_settings(base, {"optim.clip_norm_relative": 1.0}),
        axes=(
            ChoiceAxis(path="optim.clip", choices=POLICIES),
            ChoiceAxis(path="optim.lr_schedule", choices=("constant", "cosine", "wsd")),
            ChoiceAxis(path="optim.lr", choices=(3e-4, 1e-3, 3e-3)),
        ),
        arms=tuple(Arm(name=f"clip {policy}", fixed={"optim.clip": policy}) for policy in POLICIES),
        trials=trials,
    )


STUDY = Study(
    name="clip_study",
    summary="Does stability cost quality? Clipping policies and learning-rate schedules at several rates.",
    plans={
        "smoke": _plan(SMOKE, trials=12),
        "laptop": _plan(LAPTOP, trials=24),
        "paper": _plan(PAPER, trials=180),
    },
)
