"""A rate that is halved while the encoder's raw log-variance is high, which it is before a run blows up.

In prototypes stable runs stayed under HIGH, and blow-ups came past 12. In `one_run_study` most healthy runs
pass 12, so it slows them too. After a halving it waits for the run to answer, and while the log-variance is
low the rate comes back.
"""

from collections.abc import Mapping
from typing import Any

from vae.optim.controllers import Controller, Setting

HIGH = 8.0
WAIT = 5
"""Steps from one halving to the next."""
RECOVERY = 1.02
"""A step: a halving is made good in 35."""
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
        # A value that is not a number is high too.
        if record["max_logvar"] <= HIGH:
            self._factor = min(1.0, RECOVERY * self._factor)
        elif step - self._halved_at >= WAIT:
            self._factor, self._halved_at = max(LOWEST, self._factor / 2), step

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self._factor, "halved_at": self._halved_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._factor, self._halved_at = state["factor"], state["halved_at"]
