"""Is deeper better? Encoder and decoder depth, each with its own learning rate, clipping and KL schedule.

A depth's best learning rate differs from another's, so depths are arms: each gets an equal share of the
trials and a sampler of its own over the rest. Unequal pairs of depths join at larger budgets. Then the
best setting of each is repeated over fresh seeds, at a rate that decays: the claims rest on these runs.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Arm, Axis, ChoiceAxis, Confirm, FloatAxis, IntAxis, Plan, Study
from sweep.study.config import TrialConfig

ENCODER, DECODER = "model.encoder_depth", "model.decoder_depth"
# The dearest first, so that the last trials are short and no worker waits long for the other.
ALL_DEPTHS = (8, 6, 5, 4, 3, 2)
# The claim compares the deepest and the shallowest with four and five layers: what lies between decides
# nothing, and two cores have minutes.
FEW_DEPTHS = (8, 5, 4, 2)
LARGE_BUDGET = 48


def _axes(lr_low: float, lr_high: float) -> tuple[Axis, ...]:
    return (
        IntAxis(path=ENCODER, low=2, high=8),
        IntAxis(path=DECODER, low=2, high=8),
        FloatAxis(path="optim.lr", low=lr_low, high=lr_high, log=True),
        ChoiceAxis(path="optim.clip", choices=("none", "norm")),
        # In units of the median gradient norm of a short run; without effect where clip is none.
        FloatAxis(path="optim.clip_norm_relative", low=0.1, high=10.0, log=True),
        ChoiceAxis(path="objective.kl_schedule", choices=("constant", "linear", "cosine", "cyclical")),
        FloatAxis(path="objective.kl_warmup_fraction", low=0.05, high=0.5),
    )


def _plan(
    base: TrialConfig, depths: tuple[int, ...], trials: int, lr_low: float, lr_high: float, confirm: Confirm
) -> Plan:
    equal = [Arm(name=f"depth {d}", fixed={ENCODER: d, DECODER: d}) for d in depths]
    unequal = Arm(name="unequal", from_trial=LARGE_BUDGET)
    return Plan(
        base=base,
        axes=_axes(lr_low, lr_high),
        arms=(*equal, unequal),
        trials=trials,
        confirm=confirm,
    )


STUDY = Study(
    name="depth_study",
    summary="Is deeper better? Loss against encoder and decoder depth, the learning rate tuned at each.",
    plans={
        "smoke": _plan(SMOKE, ALL_DEPTHS, 12, 1e-4, 1e-2, Confirm(settings={"epochs": 1})),
        "laptop": _plan(LAPTOP, FEW_DEPTHS, 12, 1e-4, 1e-2, Confirm(settings={"epochs": 12})),
        "paper": _plan(PAPER, ALL_DEPTHS, 240, 1e-5, 1e-1, Confirm()),
    },
)
