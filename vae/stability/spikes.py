"""Spikes of a positive series, detected online.

x = log of the series, d_t = x_t - EMA_0.1 of the values before t (subtracting the average removes a slow
trend, which would hide spikes). t is a spike if d_t > median + k * 1.4826 * MAD of the previous 128 values of
d; k = 5, or 7 while there are fewer than 64, and there is none before there are 32. Spikes at most 10 steps
apart are one event. The current value is never part of its own reference, which would cap its score at
sqrt(n - 1).
"""

import math
from typing import Any

import numpy as np

WINDOW, EARLY_WINDOW, MIN_WINDOW = 128, 64, 32
FACTOR, EARLY_FACTOR = 5.0, 7.0
SMOOTHING = 0.1
MERGE_STEPS = 10
MAD_TO_STD = 1.4826


class SpikeDetector:
    """`events` counts the spikes so far. `state_dict()` holds the average, window, last spike and count."""

    def __init__(self) -> None:
        self.events = 0
        self._average: float | None = None
        self._deviations: list[float] = []
        self._step = -1
        self._last_spike: int | None = None

    def update(self, value: float) -> bool:
        """Takes the next value of the series, positive; returns whether it is (part of) a spike."""
        self._step += 1
        x = math.log(max(value, np.finfo(float).tiny))
        if self._average is None:
            self._average = x
            return False
        deviation = x - self._average
        spike = deviation > self._threshold()
        self._average += SMOOTHING * deviation
        self._deviations = [*self._deviations[-(WINDOW - 1) :], deviation]
        if spike:
            if self._last_spike is None or self._step - self._last_spike > MERGE_STEPS:
                self.events += 1
            self._last_spike = self._step
        return spike

    def _threshold(self) -> float:
        if len(self._deviations) < MIN_WINDOW:
            return math.inf
        window = np.array(self._deviations)
        median = float(np.median(window))
        mad = float(np.median(np.abs(window - median)))
        factor = FACTOR if len(window) >= EARLY_WINDOW else EARLY_FACTOR
        return median + factor * MAD_TO_STD * mad

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
        self._step = state["step"]
        self._last_spike = state["last_spike"]
