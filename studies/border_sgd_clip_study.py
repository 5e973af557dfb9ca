"""Under SGD a clipped gradient has a known length, so learning rate times clip norm is what counts.

The border of the learning rate against the clip norm must have slope -1 in log-log where clipping always
acts: a law that the map finds without being told.
"""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Plan, Study
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import TrialConfig, with_settings

SGD = {"optim.optimizer": "sgd", "optim.momentum": 0.9, "optim.clip": "norm", "optim.clip_norm": 1.0}


def _plan(base: TrialConfig, clip_norms: tuple[float, ...], **settings: object) -> Plan:
    clip = Across(name="clip norm", paths=("optim.clip_norm",), values=clip_norms, log=True)
    plane = Plane(low=1e-5, high=10.0, across=(clip,))
    border = {"plane": plane, "labels": ("nonfinite", "useless"), "step": 0.25} | settings
    return Plan.for_border(with_settings(base, SGD), BorderPlan.model_validate(border))


STUDY = Study(
    name="border_sgd_clip_study",
    summary="Learning rate against clip norm under SGD with momentum: is their product the border?",
    plans={
        "smoke": _plan(SMOKE, (1.0, 10.0, 100.0), seeds=(0,)),
        "laptop": _plan(LAPTOP, (1.0, 3.0, 10.0, 30.0, 100.0)),
        "paper": _plan(PAPER, (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), distances=(0.3, 1.0, 1.5)),
    },
)
