"""What moves the border: fan-in, halvings and depth, each with a slope of its own."""

import math
from collections.abc import Sequence

import pytest

from studies.base import LAPTOP_32
from sweep.border.map import FAN_IN, BorderMap
from sweep.border.phases import column_fan_ins, column_halvings
from sweep.study import load_study
from sweep.study.border_plan import BorderPlan
from tests.sweep.border.test_model import model

PLAN = load_study("border_study").plan("laptop")
assert PLAN.border is not None
BORDER: BorderPlan = PLAN.border


def made(heights: Sequence[float], border: BorderPlan = BORDER) -> BorderMap:
    return BorderMap(
        study="border_study",
        plan=border,
        base=LAPTOP_32,
        models={"nonfinite": model(list(heights), border.plane)},
        conflicts=[],
        trained=[],
        fan_ins=column_fan_ins(border, LAPTOP_32),
        spent={},
    )


def test_the_columns_of_border_study_tell_fan_in_halvings_and_depth_apart() -> None:
    fan_ins, halvings = column_fan_ins(BORDER, LAPTOP_32), column_halvings(BORDER, LAPTOP_32)
    assert len(set(zip(fan_ins, halvings, strict=True))) > len(set(fan_ins))
    truths = {FAN_IN: -1.0, "halvings": -0.2, "depth": 0.05}
    heights = [
        1.5 + truths[FAN_IN] * math.log10(f) + truths["halvings"] * h + truths["depth"] * column[0]
        for f, h, column in zip(fan_ins, halvings, BORDER.plane.columns, strict=True)
    ]
    line = made(heights).fan_in_line("nonfinite")
    assert line is not None
    assert set(line.slopes) == set(truths)  # the width is what is left of the fan-in
    for name, (slope, low, high) in line.slopes.items():
        assert slope == pytest.approx(truths[name], abs=0.1)
        assert low is not None
        assert high is not None
        assert low < truths[name] < high


def test_halvings_are_those_that_a_network_has() -> None:
    """At depth 2 there are two, whatever is allowed."""
    halvings = column_halvings(BORDER, LAPTOP_32)
    assert all(h <= column[0] for h, column in zip(halvings, BORDER.plane.columns, strict=True))
    assert halvings[BORDER.plane.columns.index((2, 4, 16))] == 2


def test_where_the_columns_move_together_no_slope_is_told() -> None:
    rule = BORDER.plane.columns[:2]
    pair = BORDER.model_copy(
        update={"plane": BORDER.plane.model_copy(update={"cells": rule}), "distance_columns": rule}
    )
    assert made([-2.0, -1.5], pair).fan_in_line("nonfinite") is None
