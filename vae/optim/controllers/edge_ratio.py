"""Holds the run at a fixed distance from its edge of stability.

Twenty times in a run `edge_ratio` is measured on a fixed batch: the learning rate over the one at which the
step would bring the loss back to where it started (`vae.stability.edge`). The factor moves towards the value
that would have given TARGET, by at most a factor of two at a time and within LOWEST and HIGHEST. Nothing is
measured while the schedule warms up or decays, so that a decay is not undone.
"""

import math
from typing import Any

from vae.optim.controllers import Controller, Setting

NEEDS_EDGE_RATIO = True
TARGET = 0.5
"""Half way to the edge."""
GAIN = 0.5
LOWEST, HIGHEST = 0.03, 10.0
MEASUREMENTS = 20


class Policy(Controller):
    """`state_dict()` holds the factor."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.edge_every = max(1, setting.total_steps // MEASUREMENTS)
        self._factor = 1.0

    def factor(self, step: int) -> float:
        return self._factor

    def observe_edge(self, edge_ratio: float) -> None:
        if math.isnan(edge_ratio):
            return
        wanted = (TARGET / max(edge_ratio, 1e-6)) ** GAIN if math.isfinite(edge_ratio) else 0.5
        moved = self._factor * min(2.0, max(0.5, wanted))
        self._factor = min(HIGHEST, max(LOWEST, moved))

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self._factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._factor = state["factor"]
