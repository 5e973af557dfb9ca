"""Is deeper better? Encoder and decoder depth, each with its own learning rate, clipping and KL schedule.

A depth's best learning rate differs from another's, so depths are arms: each gets an equal share of the
explored trials and a sampler of its own over the rest. Unequal pairs of depths join at larger budgets. The
claims rest on blocks, in which every depth tunes its rate anew.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from studies.claims import about_depth
from sweep.study import Arm, Axis, Blocks, ChoiceAxis, FloatAxis, IntAxis, Plan, Study
from sweep.study.config import TrialConfig

ENCODER, DECODER, LR = "model.encoder_depth", "model.decoder_depth", "optim.lr"
# The dearest first, so that the last trials are short and no worker waits long for the other.
ALL_DEPTHS = (8, 6, 5, 4, 3, 2)
# The deepest and the shallowest against four and five layers: what lies between takes two cores longer.
FEW_DEPTHS = (8, 5, 4, 2)
LARGE_BUDGET = 48
# Half a decade apart, best guess first. In six blocks no depth took 1e-2, and depth 8 always the smallest.
RATES = (1e-3, 3e-3, 3e-4, 1e-4)
PAPER_RATES = (3e-4, 1e-3, 1e-4, 3e-3, 3e-5)
# Without effect where clip is none, but an axis of the explored trials.
PLAIN = {"optim.clip": "none", "optim.clip_norm_relative": 1.0}


def _axes(lr_low: float, lr_high: float) -> tuple[Axis, ...]:
    return (
        IntAxis(path=ENCODER, low=2, high=8),
        IntAxis(path=DECODER, low=2, high=8),
        FloatAxis(path=LR, low=lr_low, high=lr_high, log=True),
        ChoiceAxis(path="optim.clip", choices=("none", "norm")),
        # In units of the median gradient norm of a short run.
        FloatAxis(path="optim.clip_norm_relative", low=0.1, high=10.0, log=True),
        ChoiceAxis(path="objective.kl_schedule", choices=("constant", "linear", "cosine", "cyclical")),
        FloatAxis(path="objective.kl_warmup_fraction", low=0.05, high=0.5),
    )


def _plan(
    base: TrialConfig, depths: tuple[int, ...], trials: int, rates: tuple[float, ...], blocks: Blocks
) -> Plan:
    equal = [Arm(name=f"depth {d}", fixed={ENCODER: d, DECODER: d}) for d in depths]
    unequal = Arm(name="unequal", from_trial=LARGE_BUDGET)
    return Plan(
        base=base,
        axes=_axes(*rates),
        arms=(*equal, unequal),
        trials=trials,
        blocks=blocks,
        claims=about_depth(depths),
    )


STUDY = Study(
    name="depth_study",
    summary="Is deeper better? Loss against encoder and decoder depth, the learning rate tuned at each.",
    plans={
        "smoke": _plan(
            SMOKE,
            FEW_DEPTHS,
            12,
            (1e-4, 1e-2),
            Blocks(grid={LR: (1e-3,)}, settings=PLAIN | {"epochs": 1}, most=6),
        ),
        "laptop": _plan(
            LAPTOP_32, FEW_DEPTHS, 12, (1e-4, 1e-2), Blocks(grid={LR: RATES}, settings=PLAIN, rung=0.4)
        ),
        "paper": _plan(
            PAPER, ALL_DEPTHS, 240, (1e-5, 1e-1), Blocks(grid={LR: PAPER_RATES}, settings=PLAIN, rung=0.4)
        ),
    },
)
