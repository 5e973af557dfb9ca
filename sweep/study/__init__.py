"""What is asked, as data: the config, axes and arms, plans at several scales, and finding a study."""

from sweep.study.find import load_preset, load_study, shipped
from sweep.study.plan import Arm, Axis, ChoiceAxis, Confirm, FloatAxis, IntAxis, Plan, space_hash
from sweep.study.study import SCALES, Scale, Study, check_name

__all__ = [
    "SCALES",
    "Arm",
    "Axis",
    "ChoiceAxis",
    "Confirm",
    "FloatAxis",
    "IntAxis",
    "Plan",
    "Scale",
    "Study",
    "check_name",
    "load_preset",
    "load_study",
    "shipped",
    "space_hash",
]
