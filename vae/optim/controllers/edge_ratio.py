"""A rate that holds the run at a set distance from its edge of stability.

Every twentieth of the run `edge_ratio` is measured on a fixed batch: the rate over the one at which the
step would lead back to where the loss began (`vae.stability.edge`). The factor moves towards what would
have made it TARGET, by at most a factor of two at a time and within set ends. Nothing is measured while the
schedule's rate rises or falls, so that a decay stays one.
"""

import math
from typing import Any

from vae.optim.controllers import Controller, Setting

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
