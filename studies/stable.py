"""One run without a sweep: the settings of `python -m sweep train`.

A soft bound on the encoder's log-variance keeps a run stable at rates that are fast, and the decay at its
end makes it good. The bound changes the model, so no study of the paper's claims has it. Under SGD the best
rate depends on everything else, so it is a tenth of the border, which short runs find.
"""

from collections.abc import Mapping

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Arm, Plan, Study
from sweep.study.config import TrialConfig, with_settings

Settings = Mapping[str, str | int | float | bool]

STABLE: Settings = {
    "model.logvar_bound": "soft",
    "optim.optimizer": "adam",
    "optim.lr": 3e-3,
    "optim.lr_schedule": "wsd",
    "optim.lr_warmup_fraction": 0.1,
    "optim.lr_decay_fraction": 0.3,
    "optim.skip": "nonfinite",
}
STABLE_SGD: Settings = {
    "optim.clip": "norm",
    "optim.clip_norm": 1.0,
    "optim.lr_border_fraction": 0.1,
}
"""What the preset sets in addition where the optimizer is sgd."""


def _plan(base: TrialConfig) -> Plan:
    return Plan(base=with_settings(base, STABLE), axes=(), arms=(Arm(name="stable"),), trials=1)


STUDY = Study(
    name="train",
    summary="One run with the stable preset: a soft bound on the log-variance, warm-up, and a decay.",
    plans={"smoke": _plan(SMOKE), "laptop": _plan(LAPTOP), "paper": _plan(PAPER)},
)
