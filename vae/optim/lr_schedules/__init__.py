"""Learning-rate schedules, one module each, found by its name (`optim.lr_schedule`).

To add one, write `vae/optim/lr_schedules/<name>.py` with a function `factor(step, total, config)`: the factor
of `optim.lr` at step 0 <= step < total. What it must keep: no state; finite, positive, never rising, and 1 at
step 0 (a warm-up is applied on top). A schedule that waits on validation declares `NEEDS_VALIDATION = True`:
its learning rate is then also reduced as `LearningRate.observe` says.
"""

import math

from vae.config import OptimConfig
from vae.names import LR_SCHEDULES


class LearningRate:
    """The learning rate at a step: base x warm-up x schedule x reductions on a plateau.

    `state_dict()` holds the plateau's factor, its best objective and the epochs waited since.
    """

    def __init__(self, config: OptimConfig, total: int) -> None:
        self.config, self.total = config, total
        self._factor = LR_SCHEDULES.load(config.lr_schedule).factor
        self._waits = bool(LR_SCHEDULES.literal(config.lr_schedule, "NEEDS_VALIDATION"))
        self._state = {"factor": 1.0, "best": math.inf, "waited": 0}

    @property
    def top(self) -> float:
        """The learning rate between warm-up and decay."""
        return self.config.lr * self._state["factor"]

    def at(self, step: int) -> float:
        warmup = self.config.lr_warmup_fraction * self.total
        ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
        schedule: float = self._factor(step, self.total, self.config)
        return self.config.lr * ramp * schedule * self._state["factor"]

    def observe(self, objective: float) -> None:
        """Takes the validation objective of an epoch at the final KL weight.

        A schedule that waits on it multiplies the learning rate by `lr_gamma` after more than `lr_patience`
        epochs without a better one.
        """
        if not self._waits:
            return
        if objective < self._state["best"]:
            self._state.update(best=objective, waited=0)
            return
        self._state["waited"] += 1
        if self._state["waited"] > self.config.lr_patience:
            self._state["factor"] *= self.config.lr_gamma
            self._state["waited"] = 0

    def state_dict(self) -> dict[str, float]:
        return dict(self._state)

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._state = dict(state)
