"""Is training near the border faster and better? A rate of 1e-3 against 1e-4, both constant.

The published comparison, as it was made: nothing is tuned, so a block has one run an arm. `border_study`
asks the same of distances to the border that it maps.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from studies.claims import about_rates
from sweep.study import Arm, Blocks, ChoiceAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings

LR = "optim.lr"
RATES = {"rate 1e-4": 1e-4, "rate 1e-3": 1e-3}


def _plan(base: TrialConfig, blocks: Blocks) -> Plan:
    slow, fast = (Arm(name=name, fixed={LR: rate}) for name, rate in RATES.items())
    return Plan(
        base=with_settings(base, {"optim.lr_schedule": "constant", "optim.clip": "none"}),
        axes=(ChoiceAxis(path=LR, choices=tuple(RATES.values())),),
        arms=(slow, fast),
        trials=len(RATES),
        blocks=blocks,
        claims=about_rates(slow.name, fast.name),
    )


STUDY = Study(
    name="rate_study",
    summary="Is training near the border of stability faster and better? A rate of 1e-3 against 1e-4.",
    plans={
        "smoke": _plan(SMOKE, Blocks(settings={"epochs": 1}, most=6)),
        "laptop": _plan(LAPTOP_32, Blocks()),
        "paper": _plan(PAPER, Blocks()),
    },
)
