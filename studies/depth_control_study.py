"""Depth without its confounder: the latent head's grid and fan-in are the same at every depth.

Two strided layers at every depth leave a fixed grid; all further layers keep the resolution. What then
differs between depths is depth (and the parameters of the added layers), not the bottleneck. The claims rest
on blocks, as those of `depth_study`.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from studies.claims import about_depth
from studies.depth_study import ALL_DEPTHS, DECODER, ENCODER, FEW_DEPTHS, LR, PAPER_RATES, RATES
from sweep.study import Arm, Blocks, FloatAxis, IntAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings

DOWNSAMPLES = 2


def _plan(
    base: TrialConfig, depths: tuple[int, ...], trials: int, lr_low: float, lr_high: float, blocks: Blocks
) -> Plan:
    return Plan(
        base=with_settings(base, {"model.max_downsamples": DOWNSAMPLES}),
        axes=(
            IntAxis(path=ENCODER, low=min(depths), high=max(depths)),
            IntAxis(path=DECODER, low=min(depths), high=max(depths)),
            FloatAxis(path=LR, low=lr_low, high=lr_high, log=True),
        ),
        arms=tuple(Arm(name=f"depth {d}", fixed={ENCODER: d, DECODER: d}) for d in depths),
        trials=trials,
        blocks=blocks,
        claims=about_depth(depths, "at a fixed bottleneck"),
    )


STUDY = Study(
    name="depth_control_study",
    summary="Is deeper better at a fixed bottleneck? Grid and head fan-in are equal at every depth.",
    plans={
        "smoke": _plan(
            SMOKE, FEW_DEPTHS, 4, 1e-4, 1e-2, Blocks(grid={LR: (1e-3,)}, settings={"epochs": 1}, most=6)
        ),
        "laptop": _plan(LAPTOP_32, FEW_DEPTHS, 8, 1e-4, 1e-2, Blocks(grid={LR: RATES}, rung=0.4)),
        "paper": _plan(PAPER, ALL_DEPTHS, 120, 1e-5, 1e-1, Blocks(grid={LR: PAPER_RATES}, rung=0.4)),
    },
)
