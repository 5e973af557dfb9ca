"""Does what stabilises training cost image quality? Gradient clipping by dose, and schedules.

A clip norm is in units of the median gradient norm of a short run: at 10 it acts on spikes alone, at 0.1 at
every step. Schedules: constant, a decay over the last 30 % of the steps, and one that falls to 0.3 of itself
after every 30 %. Arms explore the rate; the claims rest on blocks, in which every arm tunes it anew.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from studies.claims import about_clipping, about_schedules
from sweep.study import Arm, Blocks, FloatAxis, Plan, Study
from sweep.study.config import TrialConfig

CLIP, DOSE, SCHEDULE, LR = "optim.clip", "optim.clip_norm_relative", "optim.lr_schedule", "optim.lr"
DOSES = (10.0, 1.0, 0.1)
SCHEDULES = {"constant rate": "constant", "decay at the end": "wsd", "decay in steps": "step"}
RATES = (1e-3, 3e-3, 3e-4, 1e-2)


def _plan(base: TrialConfig, trials: int, lr_low: float, lr_high: float, blocks: Blocks) -> Plan:
    none = {CLIP: "none", SCHEDULE: "wsd"}
    clipped = [
        Arm(name=f"clip at {dose:g} medians", settings={CLIP: "norm", DOSE: dose, SCHEDULE: "wsd"})
        for dose in DOSES
    ]
    decayed = [
        Arm(name=name, settings=none | {SCHEDULE: schedule})
        for name, schedule in SCHEDULES.items()
        if schedule != "wsd"
    ]
    return Plan(
        base=base,
        axes=(FloatAxis(path=LR, low=lr_low, high=lr_high, log=True),),
        # Without clipping and with a decay at the end: the arm that both comparisons share.
        arms=(Arm(name="no clipping", settings=none), *clipped, *decayed),
        trials=trials,
        blocks=blocks,
        claims=(*about_clipping(DOSES), *about_schedules("constant rate", "no clipping", "decay in steps")),
    )


STUDY = Study(
    name="clip_study",
    summary="Does stability cost quality? Gradient clipping by dose, and learning-rate schedules.",
    plans={
        "smoke": _plan(SMOKE, 6, 3e-4, 1e-2, Blocks(grid={LR: (1e-3,)}, settings={"epochs": 1}, most=6)),
        "laptop": _plan(LAPTOP_32, 12, 3e-4, 1e-2, Blocks(grid={LR: RATES}, rung=0.4)),
        "paper": _plan(PAPER, 120, 1e-5, 1e-2, Blocks(grid={LR: RATES}, rung=0.4)),
    },
)
