"""Depth without its confounder: the latent head's grid and fan-in are the same at every depth.

Two strided layers at every depth leave a fixed grid; all further layers keep the resolution. What then
differs between depths is depth (and the parameters of the added layers), not the bottleneck. Every depth
and seed is an arm that tunes its own learning rate.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Arm, ChoiceAxis, FloatAxis, IntAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings

ENCODER, DECODER = "model.encoder_depth", "model.decoder_depth"
DEPTHS = (8, 6, 5, 4, 3, 2)
SEEDS = (0, 1, 2, 3, 4)
DOWNSAMPLES = 2


def _plan(base: TrialConfig, trials: int, lr_low: float, lr_high: float) -> Plan:
    return Plan(
        base=with_settings(base, {"model.max_downsamples": DOWNSAMPLES}),
        axes=(
            IntAxis(path=ENCODER, low=min(DEPTHS), high=max(DEPTHS)),
            IntAxis(path=DECODER, low=min(DEPTHS), high=max(DEPTHS)),
            ChoiceAxis(path="seed", choices=SEEDS),
            FloatAxis(path="optim.lr", low=lr_low, high=lr_high, log=True),
        ),
        arms=tuple(
            Arm(name=f"depth {depth}, seed {seed}", fixed={ENCODER: depth, DECODER: depth, "seed": seed})
            for seed in SEEDS
            for depth in DEPTHS
        ),
        trials=trials,
    )


STUDY = Study(
    name="depth_control_study",
    summary="Is deeper better at a fixed bottleneck? Grid and head fan-in equal at every depth, 5 seeds.",
    plans={
        "smoke": _plan(SMOKE, trials=30, lr_low=1e-4, lr_high=1e-2),
        "laptop": _plan(LAPTOP, trials=120, lr_low=1e-4, lr_high=1e-2),
        "paper": _plan(PAPER, trials=300, lr_low=1e-5, lr_high=1e-1),
    },
)
