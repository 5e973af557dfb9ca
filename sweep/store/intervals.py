"""The mean of a few seeds with its confidence interval."""

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
MIN_SEEDS = 3
"""Fewer say nothing about their own spread."""


def mean_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean and the ends of its 95 % t interval; None below two values."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    from scipy import stats  # half a second that not every caller needs to spend

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return mean, mean - half, mean + half
