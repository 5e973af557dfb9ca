"""A guard that takes a run back from a spike, after it has made sure that the run is to blame.

A loss of three times the running median may be a batch that is hard: at a batch size of 8 that is common, and
a guard that rolls back at once brings the rate of a healthy run down to nothing. So the same batch, with the
same noise, is asked again with the weights of a snapshot from before. Only where it was much easier then have
the weights gone bad: they, the optimizer and the batch norm's statistics are put back, and the rate is halved
from there on.
"""

import copy
import math
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

SUSPICIOUS = 3.0
"""Times the median of the recent losses."""
MUCH_BETTER = 0.5
"""A snapshot's loss on the same batch below this share of the step's: the weights are to blame."""
WINDOW = 20
SNAPSHOT_EVERY = 16
"""Steps; the snapshot gone back to is 16 to 32 steps old, so that it was taken before the trouble."""
SMALLER = 0.5
MOST_ROLLBACKS = 10
"""A run that was taken back so often is let go: its rate is a thousandth by then."""


class Guard:
    """`rollbacks` and `false_alarms` count what it did and what it let pass.

    `state_dict()` holds the recent losses, the two snapshots, the factor and the counts.
    """

    def __init__(self, model: "nn.Module", likelihood: "nn.Module", optimizer: "Optimizer") -> None:
        self._parts: dict[str, Any] = {"model": model, "likelihood": likelihood, "optimizer": optimizer}
        self.factor = 1.0
        """What the rate is multiplied with."""
        self.rollbacks = 0
        self.false_alarms = 0
        self._losses: list[float] = []
        self._older: dict[str, Any] | None = None
        self._newer: dict[str, Any] | None = None

    def before_step(self, step: int) -> None:
        """Take a snapshot where one is due, unless the last losses are themselves suspicious."""
        if step % SNAPSHOT_EVERY == 0 and not (self._losses and self._is_suspicious(self._losses[-1])):
            self._older, self._newer = self._newer, self._taken()

    def after_step(self, loss: float, loss_again: Callable[[], float]) -> bool:
        """Whether the run was rolled back. `loss_again` is that of the same batch and noise with the weights
        that are there when it is called."""
        suspicious = self._is_suspicious(loss)
        if math.isfinite(loss):
            self._losses = [*self._losses[-(WINDOW - 1) :], loss]
        if not suspicious or self._older is None or self.rollbacks >= MOST_ROLLBACKS:
            return False
        now = self._taken()
        self._put_back(self._older)
        before = loss_again()
        if math.isfinite(before) and (not math.isfinite(loss) or self._is_much_better(before, loss)):
            self._newer = self._older
            self._losses = self._losses[:-1] if math.isfinite(loss) else self._losses
            self.factor *= SMALLER
            self.rollbacks += 1
            return True
        self._put_back(now)
        self.false_alarms += 1
        return False

    def _is_suspicious(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if len(self._losses) < WINDOW:
            return False
        usual = median(self._losses)
        # A log likelihood may be negative: then three times as much means above it by twice its size.
        return loss - usual > (SUSPICIOUS - 1) * abs(usual)

    def _is_much_better(self, before: float, loss: float) -> bool:
        return loss - before > (1 - MUCH_BETTER) * abs(loss)

    def _taken(self) -> dict[str, Any]:
        # Deep copies: a state dict shares its tensors with what is being trained.
        return {name: copy.deepcopy(part.state_dict()) for name, part in self._parts.items()}

    def _put_back(self, snapshot: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            # The optimizer keeps the tensors that it is given, and would change the snapshot's.
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
