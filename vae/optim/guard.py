"""A guard that rolls a run back from a spike, once it is sure that the weights are to blame.

A loss of three times the running median may just be a hard batch. With a batch size of 8 that is common, and
a guard that rolled back at once would reduce the learning rate of a healthy run to nothing. So the loss of
the same batch, with the same noise, is computed again with the weights of an earlier snapshot. Only if it is
much lower have the weights gone bad: then weights, optimizer and batch norm's statistics are restored, and
the learning rate is halved from there on.
"""

import copy
import math
from collections.abc import Callable
from statistics import median
from typing import Any

from torch import nn
from torch.optim import Optimizer

SUSPICIOUS = 3.0
"""Multiple of the median of the recent losses."""
MUCH_BETTER = 0.5
"""The weights are to blame if a snapshot's loss on the same batch is below this share of the step's."""
WINDOW = 20
SNAPSHOT_EVERY = 16
"""Steps. A rollback goes to a snapshot 16 to 32 steps old, so that it was taken before the trouble."""
LR_FACTOR = 0.5
MAX_ROLLBACKS = 10
"""After so many rollbacks a run is left alone: its learning rate is a thousandth by then."""


class Guard:
    """`rollbacks` and `false_alarms` count how often it acted, and how often it found the batch to blame.

    `state_dict()` holds the recent losses, the two snapshots, the factor and the counts.
    """

    def __init__(self, model: nn.Module, likelihood: nn.Module, optimizer: Optimizer) -> None:
        self._parts: dict[str, Any] = {"model": model, "likelihood": likelihood, "optimizer": optimizer}
        self.factor = 1.0
        """Factor of the learning rate."""
        self.rollbacks = 0
        self.false_alarms = 0
        self._losses: list[float] = []
        self._older: dict[str, Any] | None = None
        self._newer: dict[str, Any] | None = None

    def before_step(self, step: int) -> None:
        """Take a snapshot if one is due, unless the last loss is itself suspicious."""
        if step % SNAPSHOT_EVERY == 0 and not (self._losses and self._is_suspicious(self._losses[-1])):
            self._older, self._newer = self._newer, self._snapshot()

    def after_step(self, loss: float, loss_again: Callable[[], float]) -> bool:
        """Roll the run back if needed; returns whether it was.

        loss_again computes the loss of the same batch and noise with the weights at the time of its call.
        """
        suspicious = self._is_suspicious(loss)
        if math.isfinite(loss):
            self._losses = [*self._losses[-(WINDOW - 1) :], loss]
        if not suspicious or self._older is None or self.rollbacks >= MAX_ROLLBACKS:
            return False
        now = self._snapshot()
        self._restore(self._older)
        before = loss_again()
        if math.isfinite(before) and (not math.isfinite(loss) or self._is_much_better(before, loss)):
            self._newer = self._older
            self._losses = self._losses[:-1] if math.isfinite(loss) else self._losses
            self.factor *= LR_FACTOR
            self.rollbacks += 1
            return True
        self._restore(now)
        self.false_alarms += 1
        return False

    def _is_suspicious(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if len(self._losses) < WINDOW:
            return False
        usual = median(self._losses)
        # A log likelihood may be negative: then "three times" means above it by twice its size.
        return loss - usual > (SUSPICIOUS - 1) * abs(usual)

    def _is_much_better(self, before: float, loss: float) -> bool:
        return loss - before > (1 - MUCH_BETTER) * abs(loss)

    def _snapshot(self) -> dict[str, Any]:
        # Deep copies, because a state dict shares its tensors with the module.
        return {name: copy.deepcopy(part.state_dict()) for name, part in self._parts.items()}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            # A copy, because the optimizer keeps the tensors it is given and would change the snapshot.
            part.load_state_dict(copy.deepcopy(snapshot[name]))

    def state_dict(self) -> dict[str, Any]:
        return {
            "factor": self.factor,
            "rollbacks": self.rollbacks,
            "false_alarms": self.false_alarms,
            "losses": list(self._losses),
            "older": self._older,
            "newer": self._newer,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor = state["factor"]
        self.rollbacks, self.false_alarms = state["rollbacks"], state["false_alarms"]
        self._losses = list(state["losses"])
        self._older, self._newer = state["older"], state["newer"]
