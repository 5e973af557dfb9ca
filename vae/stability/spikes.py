"""Spikes of a positive series, detected online.

x = log of the series, d_t = x_t - EMA_0.1 of the values before t (subtracting the average removes a slow
trend, which would hide spikes). t is a spike if d_t > median + k * 1.4826 * MAD of the previous 128 values of
d; k = 5, or 7 while there are fewer than 64, and there is none before there are 32. Spikes at most 10 steps
apart are one event. The current value is never part of its own reference, which would cap its score at
sqrt(n - 1).

The window is kept sorted too, so that a step costs a few comparisons, not three sorts.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import numpy as np

WINDOW, EARLY_WINDOW, MIN_WINDOW = 128, 64, 32
FACTOR, EARLY_FACTOR = 5.0, 7.0
SMOOTHING = 0.1
MERGE_STEPS = 10
MAD_TO_STD = 1.4826
TINY = float(np.finfo(float).tiny)


class SpikeDetector:
    """`events` counts the spikes so far. `state_dict()` holds the average, window, last spike and count."""

    def __init__(self) -> None:
        self.events = 0
        self._average: float | None = None
        self._deviations: list[float] = []
        self._sorted: list[float] = []
        self._step = -1
        self._last_spike: int | None = None

    def update(self, value: float) -> bool:
        """Takes the next value, positive and finite; returns whether it is (part of) a spike."""
        self._step += 1
        x = math.log(max(value, TINY))
        if self._average is None:
            self._average = x
            return False
        deviation = x - self._average
        spike = deviation > self._threshold()
        self._average += SMOOTHING * deviation
        self._keep(deviation)
        if spike:
            if self._last_spike is None or self._step - self._last_spike > MERGE_STEPS:
                self.events += 1
            self._last_spike = self._step
        return spike

    def update_block(self, values: Sequence[float]) -> list[bool]:
        """What `update` returns for each of the next values."""
        return [self.update(value) for value in values]

    def _keep(self, deviation: float) -> None:
        self._deviations.append(deviation)
        insort(self._sorted, deviation)
        if len(self._deviations) > WINDOW:
            oldest = self._deviations.pop(0)
            del self._sorted[bisect_left(self._sorted, oldest)]

    def _threshold(self) -> float:
        known = len(self._sorted)
        if known < MIN_WINDOW:
            return math.inf
        median, mad = median_and_mad(self._sorted)
        return median + (FACTOR if known >= EARLY_WINDOW else EARLY_FACTOR) * MAD_TO_STD * mad

    def state_dict(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "average": self._average,
            "deviations": list(self._deviations),
            "step": self._step,
            "last_spike": self._last_spike,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.events = state["events"]
        self._average = state["average"]
        self._deviations = list(state["deviations"])
        self._sorted = sorted(self._deviations)
        self._step = state["step"]
        self._last_spike = state["last_spike"]


def median_and_mad(ordered: Sequence[float]) -> tuple[float, float]:
    """The median of sorted values, of which there is at least one, and their median distance from it."""
    count = len(ordered)
    upper = count // 2
    if count % 2:
        median = ordered[upper]
        return median, _nth_distance(ordered, median, upper)
    median = (ordered[upper - 1] + ordered[upper]) / 2
    return median, (_nth_distance(ordered, median, upper - 1) + _nth_distance(ordered, median, upper)) / 2


def _nth_distance(ordered: Sequence[float], centre: float, n: int) -> float:
    """The n-th smallest, from 0, of the distances of sorted values from a value.

    The n + 1 nearest values are neighbours. Their number among the sorted ones is where the distance of the
    last outgrows that of the first, which a bisection finds.
    """
    low, high = 0, len(ordered) - 1 - n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle + n] - centre < centre - ordered[middle]:
            low = middle + 1
        else:
            high = middle
    nearest = max(centre - ordered[low], ordered[low + n] - centre)
    # Just before, the first is the farther one.
    return min(nearest, centre - ordered[low - 1]) if low else nearest
