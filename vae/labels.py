"""The labels of the borders of stability: what a run did that a stable one does not.

blowup      a loss above 100 times the first loss, at any step; a run that became not finite has blown up
nonfinite   loss or gradient not finite, at any step
useless     the mean training loss of the run's last 20 steps is worse than predicting the mean training
            image, and not because the run was too slow

A run's `Observation` holds what it told about all of them, so one run serves several labels; a `verdict`
is a pure function of it. Crossing is final; "stable" means stable as far as the run was followed.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Label = Literal["blowup", "nonfinite", "useless"]
LABELS: tuple[Label, ...] = get_args(Label)

BLOWUP_FACTOR = 100.0
USELESS_WINDOW = 20
LATE_FAN_IN = 4096
"""From this fan-in of the latent head on, runs become not finite late (steps 40-134 in a prototype)."""
EARLY_STEPS, LATE_STEPS = 16, 150


@dataclass(frozen=True)
class Observation:
    """What a run told up to its end. Losses are training losses of single steps, as `vae.train` has them.

    steps: optimizer steps taken, of `total_steps` that the run's schedules are made for.
    first_loss, peak_loss, recent_loss: of the first step; the largest finite one; the mean of the last 20
        (all, where there are fewer), inf where one of them is not finite. None before the first step.
    mean_image_loss: of predicting the mean training image, in the units of the loss; None where the
        likelihood has no such thing.
    blowup_step, nonfinite_step: the first step, from 0, at which the label held; None: never so far.
    """

    steps: int
    total_steps: int
    first_loss: float | None
    peak_loss: float | None
    recent_loss: float | None
    mean_image_loss: float | None
    blowup_step: int | None
    nonfinite_step: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: a recent loss of inf is left out, which `nonfinite_step` tells too."""
        return {k: v for k, v in asdict(self).items() if v is not None and math.isfinite(v)}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> "Observation":
        """The inverse of `as_dict`; keys that are not of an observation are ignored."""
        return cls(**{name: facts.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


def verdict(label: Label, seen: Observation, horizon: int | None) -> bool | None:
    """Whether a run crossed the label's border: True, False, or None while it is not known.

    False means that it had not crossed after `horizon` steps (None: its whole length); a longer run may
    still cross, and then it has, whatever the horizon.
    """
    length = seen.total_steps if horizon is None else min(horizon, seen.total_steps)
    if seen.nonfinite_step is not None:
        return True
    if label == "blowup" and seen.blowup_step is not None:
        return True
    if seen.steps < length:
        return None
    return is_useless(seen) if label == "useless" else False


def is_useless(seen: Observation) -> bool:
    """Raises ValueError where the run's likelihood has no mean-image loss."""
    if seen.mean_image_loss is None or seen.recent_loss is None:
        raise ValueError("the label useless needs a likelihood that has a mean-image loss")
    return seen.recent_loss > seen.mean_image_loss


class BorderLabels:
    """Follows a run step by step. `state_dict()` holds the fields of the observation and recent losses."""

    def __init__(self, total_steps: int, mean_image_loss: float | None) -> None:
        self.total_steps, self.mean_image_loss = total_steps, mean_image_loss
        self._steps = 0
        self._first: float | None = None
        self._peak: float | None = None
        self._recent: list[float] = []
        self._blowup_step: int | None = None
        self._nonfinite_step: int | None = None

    def update(self, loss: float, *, finite: bool) -> None:
        """One step; `finite` is False where loss or gradient was not, and no policy passed over it."""
        if math.isfinite(loss):
            self._first = loss if self._first is None else self._first
            self._peak = loss if self._peak is None else max(self._peak, loss)
            # From its absolute value, so that a negative log likelihood is judged alike.
            limit = self._first + (BLOWUP_FACTOR - 1) * abs(self._first)
            if loss > limit and self._blowup_step is None:
                self._blowup_step = self._steps
        if not finite:
            self._nonfinite_step = self._steps if self._nonfinite_step is None else self._nonfinite_step
            self._blowup_step = self._steps if self._blowup_step is None else self._blowup_step
        self._recent = [*self._recent[-(USELESS_WINDOW - 1) :], loss if math.isfinite(loss) else math.inf]
        self._steps += 1

    def observation(self) -> Observation:
        return Observation(
            steps=self._steps,
            total_steps=self.total_steps,
            first_loss=self._first,
            peak_loss=self._peak,
            recent_loss=sum(self._recent) / len(self._recent) if self._recent else None,
            mean_image_loss=self.mean_image_loss,
            blowup_step=self._blowup_step,
            nonfinite_step=self._nonfinite_step,
        )

    def state_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, list) else v for k, v in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)
