"""Halves the learning rate while the encoder's raw log-variance is high, as it is before a run blows up.

In prototypes stable runs stayed below HIGH, and blow-ups happened above 12. In `one_run_study` most healthy
runs exceed 12, so it slows them too. After a halving it waits for the run to react, and the learning rate
recovers while the log-variance is low.
"""

from collections.abc import Mapping
from typing import Any

from vae.optim.controllers import Controller, Setting

HIGH = 8.0
WAIT = 5
"""Steps between two halvings."""
RECOVERY = 1.02
"""Per step: a halving is made up for in 35 steps."""
LOWEST = 1e-3


class Policy(Controller):
    """`state_dict()` holds the factor and the step of the last halving."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._factor, self._halved_at = 1.0, -WAIT

    def factor(self, step: int) -> float:
        return self._factor

    def observe(self, record: Mapping[str, float]) -> None:
        step = int(record["step"])
        # This way round nan counts as high.
        if record["max_logvar"] <= HIGH:
            self._factor = min(1.0, RECOVERY * self._factor)
        elif step - self._halved_at >= WAIT:
            self._factor, self._halved_at = max(LOWEST, self._factor / 2), step

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self._factor, "halved_at": self._halved_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._factor, self._halved_at = state["factor"], state["halved_at"]
