"""Does the best learning rate carry over from a small network to a deep and wide one?

Two corners of depth and width at the standard rates, four with `optim.parametrisation=mup`; in each block
every network tunes its rate anew over the same grid. What the rate of the smallest network is worth in each
of the others is what a user would like to know who tunes the small one only.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from sweep.study import Arm, Blocks, Claim, Contrast, FloatAxis, IntAxis, Plan, Study
from sweep.study.config import TrialConfig

ENCODER, DECODER, WIDTH = "model.encoder_depth", "model.decoder_depth", "model.base_channels"
LR, RULE = "optim.lr", "optim.parametrisation"
# A third of a decade apart, as best rates are to be known to a few hundredths of one; best guess first.
RATES = (1e-3, 2.15e-3, 4.64e-4, 4.64e-3, 2.15e-4, 1e-2, 1e-4, 2.15e-2)


def _arm(rule: str, depth: int, width: int) -> Arm:
    fixed = {ENCODER: depth, DECODER: depth, WIDTH: width}
    return Arm(name=f"{rule} depth {depth} width {width}", fixed=fixed, settings={RULE: rule})


def _plan(base: TrialConfig, small: tuple[int, int], large: tuple[int, int], blocks: Blocks) -> Plan:
    """small, large: depth and width."""
    corners = (small, (small[0], large[1]), (large[0], small[1]), large)
    standard = [_arm("standard", *corner) for corner in (small, large)]
    mup = [_arm("mup", *corner) for corner in corners]
    arms = (*standard, *mup)
    return Plan(
        base=base,
        axes=(
            IntAxis(path=ENCODER, low=small[0], high=large[0]),
            IntAxis(path=DECODER, low=small[0], high=large[0]),
            IntAxis(path=WIDTH, low=small[1], high=large[1]),
            FloatAxis(path=LR, low=1e-5, high=1e-1, log=True),
        ),
        arms=arms,
        trials=len(arms),
        blocks=blocks,
        claims=(
            Claim(
                key="mup_is_better",
                title="Rates of layers: a large network",
                statement="A deep and wide network is better where its layers have rates of their own.",
                contrasts=(Contrast(worse=(standard[-1].name,), better=(mup[-1].name,)),),
            ),
        ),
        carries=(tuple(arm.name for arm in standard), tuple(arm.name for arm in mup)),
    )


STUDY = Study(
    name="transfer_study",
    summary="Does the best learning rate carry over from a small network to a deep and wide one?",
    plans={
        "smoke": _plan(
            SMOKE, (2, 4), (4, 8), Blocks(grid={LR: (1e-3, 3e-3)}, settings={"epochs": 1}, most=6)
        ),
        # 11 epochs of the bundled scenes are 640 steps.
        "laptop": _plan(
            LAPTOP_32, (2, 8), (8, 64), Blocks(grid={LR: RATES}, settings={"epochs": 11}, rung=0.4)
        ),
        "paper": _plan(PAPER, (2, 16), (8, 64), Blocks(grid={LR: RATES}, rung=0.4)),
    },
)
