"""Does a deeper network take longer to early stopping? As published: one constant rate, nothing tuned.

With a rate that decays over the whole length, early stopping either cuts the decay off or does not fire; so
this study has a constant rate, many epochs, and a patience of ten.
"""

from studies.base import LAPTOP_32, PAPER_SETTING, SMOKE
from studies.claims import about_stopping
from studies.depth_study import ALL_DEPTHS, DECODER, ENCODER, FEW_DEPTHS, LR
from sweep.study import Arm, Blocks, ChoiceAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings

RATE = 1e-3


def _plan(base: TrialConfig, depths: tuple[int, ...], epochs: int, patience: int, blocks: Blocks) -> Plan:
    constant = {"optim.lr": RATE, "optim.lr_schedule": "constant", "optim.clip": "none"}
    return Plan(
        base=with_settings(base, constant | {"epochs": epochs, "early_stopping_patience": patience}),
        axes=(ChoiceAxis(path=LR, choices=(RATE,)),),
        arms=tuple(Arm(name=f"depth {d}", settings={ENCODER: d, DECODER: d}) for d in depths),
        trials=len(depths),
        blocks=blocks,
        claims=about_stopping(depths),
    )


STUDY = Study(
    name="stopping_study",
    summary="Does a deeper network take longer to early stopping? One constant rate, nothing tuned.",
    plans={
        "smoke": _plan(SMOKE, FEW_DEPTHS, 3, 1, Blocks(settings={"epochs": 1}, most=6)),
        "laptop": _plan(LAPTOP_32, FEW_DEPTHS, 120, 10, Blocks()),
        "paper": _plan(PAPER_SETTING, ALL_DEPTHS, 200, 20, Blocks()),
    },
)
