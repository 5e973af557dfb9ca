"""What is asked, as data: the config, axes and arms, plans at several scales, and finding a study."""

from sweep.study.axes import Axis, ChoiceAxis, FloatAxis, IntAxis
from sweep.study.blocks import Blocks
from sweep.study.claims import (
    EPOCHS_TO_STOP,
    EPOCHS_TO_TARGET,
    QUALITY,
    SAMPLES,
    TEST_LOSS,
    VOLATILITY,
    Claim,
    Contrast,
    Endpoint,
    at_distance,
)
from sweep.study.find import load_preset, load_study, shipped
from sweep.study.plan import Arm, Confirm, Plan, space_hash
from sweep.study.study import SCALES, Scale, Study, check_name

__all__ = [
    "EPOCHS_TO_STOP",
    "EPOCHS_TO_TARGET",
    "QUALITY",
    "SAMPLES",
    "SCALES",
    "TEST_LOSS",
    "VOLATILITY",
    "Arm",
    "Axis",
    "Blocks",
    "ChoiceAxis",
    "Claim",
    "Confirm",
    "Contrast",
    "Endpoint",
    "FloatAxis",
    "IntAxis",
    "Plan",
    "Scale",
    "Study",
    "at_distance",
    "check_name",
    "load_preset",
    "load_study",
    "shipped",
    "space_hash",
]
