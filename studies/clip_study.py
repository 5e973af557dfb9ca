"""Does what stabilises training cost image quality? Clipping policies and learning-rate schedules.

Every clipping policy is an arm, and so is a constant learning rate without clipping; schedule and rate are
searched over the same few values for all. Then every arm is repeated over the same fresh seeds, at the one
rate that did best over all arms and with a decayed schedule (but for the constant arm): the runs of one seed
differ in the arm alone. The claims rest on these runs.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Arm, ChoiceAxis, Confirm, Plan, Study
from sweep.study.config import TrialConfig, with_settings

POLICIES = ("none", "norm", "value", "percentile", "zscore", "agc")
CLIP, SCHEDULE, LR = "optim.clip", "optim.lr_schedule", "optim.lr"


def _plan(base: TrialConfig, trials: int, epochs: int) -> Plan:
    policies = tuple(Arm(name=f"clip {policy}", fixed={CLIP: policy}) for policy in POLICIES)
    constant = Arm(name="constant rate", fixed={CLIP: "none", SCHEDULE: "constant"})
    return Plan(
        base=with_settings(base, {"optim.clip_norm_relative": 1.0}),
        axes=(
            ChoiceAxis(path=CLIP, choices=POLICIES),
            ChoiceAxis(path=SCHEDULE, choices=("constant", "cosine", "wsd")),
            ChoiceAxis(path=LR, choices=(3e-4, 1e-3, 3e-3)),
        ),
        arms=(*policies, constant),
        trials=trials,
        confirm=Confirm(settings={SCHEDULE: "wsd", "epochs": epochs}, shared=(LR,)),
    )


STUDY = Study(
    name="clip_study",
    summary="Does stability cost quality? Clipping policies and learning-rate schedules at several rates.",
    plans={
        "smoke": _plan(SMOKE, trials=14, epochs=SMOKE.epochs),
        "laptop": _plan(LAPTOP, trials=28, epochs=12),
        "paper": _plan(PAPER, trials=210, epochs=PAPER.epochs),
    },
)
