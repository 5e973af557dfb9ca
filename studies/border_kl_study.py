"""Does a heavier KL term move the border of stability? The learning rate by the KL weight."""

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.study import Plan, Study
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import TrialConfig


def _plan(base: TrialConfig, kl_weights: tuple[float, ...], **settings: object) -> Plan:
    weight = Across(name="KL weight", paths=("objective.kl_weight",), values=kl_weights, log=True)
    border = {"plane": Plane(across=(weight,)), "step": 0.25} | settings
    return Plan.for_border(base, BorderPlan.model_validate(border))


STUDY = Study(
    name="border_kl_study",
    summary="Does the KL weight move the border of stability? The learning rate's border by KL weight.",
    plans={
        "smoke": _plan(SMOKE, (0.1, 1.0, 10.0), seeds=(0,)),
        "laptop": _plan(LAPTOP, (0.01, 0.1, 1.0, 10.0)),
        "paper": _plan(PAPER, (0.001, 0.01, 0.1, 1.0, 10.0, 100.0), distances=(0.3, 1.0, 1.5)),
    },
)
