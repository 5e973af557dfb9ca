"""Raises the learning rate until training works, instead of having it chosen.

From a thousandth of `optim.lr` the learning rate rises geometrically, and would reach ten times `optim.lr`
after a fifth of the run. It stops rising when the smoothed loss is half the first loss; the run then uses
half of the learning rate reached. A run whose loss does not halve in that time continues with `optim.lr`.
"""

from collections.abc import Mapping
from typing import Any

from vae.optim.controllers import Controller, Setting

LOWEST, HIGHEST = -3.0, 1.0
"""log10 of the factor at the two ends of the ramp."""
LONGEST = 0.2
"""Length of the ramp, as a share of the run's steps."""
SMOOTHING = 0.3
KEPT = 0.5


class Policy(Controller):
    """`state_dict()` holds the first loss, the smoothed loss, and the factor once found."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._state: dict[str, float | None] = {"first": None, "smoothed": None, "found": None}

    def factor(self, step: int) -> float:
        found = self._state["found"]
        return self._ramp(step) if found is None else found

    def _ramp(self, step: int) -> float:
        share = min(1.0, (step + 1) / max(LONGEST * self.setting.total_steps, 1))
        return 10 ** (LOWEST + (HIGHEST - LOWEST) * share)

    def observe(self, record: Mapping[str, float]) -> None:
        state, loss, step = self._state, record["loss"], int(record["step"])
        if state["found"] is not None:
            return
        if state["first"] is None:
            state["first"] = state["smoothed"] = loss
        assert state["first"] is not None
        assert state["smoothed"] is not None
        state["smoothed"] += SMOOTHING * (loss - state["smoothed"])
        if state["smoothed"] <= state["first"] / 2:
            state["found"] = KEPT * self._ramp(step)
        elif step + 1 >= LONGEST * self.setting.total_steps:
            state["found"] = 1.0

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._state = dict(state)
