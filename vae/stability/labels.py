"""The labels of the borders of stability: what a run did that a stable run does not do.

blowup      a loss above 100 times the first loss, at any step; a nonfinite run has blown up too
nonfinite   loss or gradient not finite, at any step
useless     the mean training loss of the run's last 20 steps is worse than predicting the mean training
            image, and not because the run was too slow

A run's `Observation` holds the facts for all of them, so one run serves several labels; a `verdict` is a pure
function of it. Crossing is final; "stable" means stable as far as the run was followed.
"""

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Label = Literal["blowup", "nonfinite", "useless"]
LABELS: tuple[Label, ...] = get_args(Label)
Horizon = int | float | None
"""How far a run that does not cross is followed: steps, a share of its length (below 1), or all of it."""

BLOWUP_FACTOR = 100.0
RECENT = 20
CALM = 12
LATE_FAN_IN = 4096
"""With this fan-in of the latent head or more, runs become nonfinite late (steps 40-134 in a prototype)."""
EARLY_STEPS, LATE_STEPS = 16, 150
BLOWUP_STEPS = 48
"""Most blow-ups happen within 16 steps; at depth 2 many only at steps 30 to 40, and a few later still."""
EARLY_SHARE = 0.25
"""Share of a run's length after which its losses show whether it will be useless."""
FORECAST_STEPS = 80
"""The minimum: with fewer, the recent losses are those of steps 20 to 39, and a slow run looks stuck."""
CLEARLY_USEFUL = 0.8
FALLING = 0.9
FAR_ABOVE, ABOVE, NEAR_FIRST = 5.0, 2.0, 0.9


@dataclass(frozen=True)
class Observation:
    """The facts about a run up to its end. Losses are training losses of single steps (`vae.training.step`).

    steps: optimizer steps taken, of the `total_steps` that the run's schedules are made for.
    first_loss, peak_loss: the first and the largest of the finite losses; None if there is none.
    recent_loss, recent_median, recent_peak: mean and median of the last 20 losses, largest of the last 12 (of
        all, if there are fewer); inf if one of them is not finite, None before the first step.
    settled_loss: median of steps 20 to 39; None before.
    mean_image_loss: loss of predicting the mean training image; None if the likelihood has no such loss.
    blowup_step, nonfinite_step: the first step, from 0, at which the label held; None: never so far.
    """

    steps: int
    total_steps: int
    first_loss: float | None
    peak_loss: float | None
    recent_loss: float | None
    recent_median: float | None
    recent_peak: float | None
    settled_loss: float | None
    mean_image_loss: float | None
    blowup_step: int | None
    nonfinite_step: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, without what is None or not finite (`nonfinite_step` shows the latter too)."""
        return {k: v for k, v in asdict(self).items() if v is not None and math.isfinite(v)}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> "Observation":
        """The inverse of `as_dict`; other keys are ignored."""
        return cls(**{name: facts.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


def probe_horizon(label: Label) -> Horizon:
    """How far a probe is followed at least. Measured with the laptop base: see `verdict`."""
    return {"useless": EARLY_SHARE, "nonfinite": EARLY_STEPS, "blowup": BLOWUP_STEPS}[label]


def late_horizon(label: Label, head_fan_in: int | None) -> int | None:
    """How far runs at the largest learning rates that probes called stable must be followed; None: no further
    than the probes. A head that is not known (None) counts as one of many inputs."""
    late = head_fan_in is None or head_fan_in >= LATE_FAN_IN
    return LATE_STEPS if label == "nonfinite" and late else None


def verdict(label: Label, facts: Observation, horizon: Horizon) -> bool | None:
    """Whether a run crossed the label's border: True, False, or None while it is not known.

    Before the run's end a False is a forecast, and for `useless` a True is one too; a horizon at the run's
    end makes no forecast. At the horizon:
    blowup      has not crossed -> False.
    nonfinite   has not crossed, and its last 12 losses are not above the first -> False; a run that is not
                that calm is followed up to 150 steps.
    useless     median of its last 20 losses above the mean image's loss -> True, below -> False, after at
                least 80 steps. From half of that on also in clear cases: above the first loss -> True, below
                0.8 of the mean image's -> False. The median, because even a run that will be fine has spikes.
    `tests/benchmarks/border_mapping.py` measures how often these forecasts are wrong.
    """
    total = facts.total_steps
    length = total if horizon is None else math.ceil(horizon * total) if horizon < 1 else int(horizon)
    if label == "useless":
        length = max(length, FORECAST_STEPS)
    length = min(length, total)
    if facts.nonfinite_step is not None:
        return True
    if label == "blowup":
        return True if facts.blowup_step is not None else False if facts.steps >= length else None
    if label == "nonfinite":
        enough = facts.steps >= length and (_is_calm(facts) or facts.steps >= min(LATE_STEPS, total))
        return False if enough else None
    if facts.steps >= total:
        return is_useless(facts)
    return None if length >= total else _forecast_useless(facts, length)


def is_useless(facts: Observation) -> bool:
    """Whether a run that was followed to its end is useless. Too slow is not useless (`_is_slow`).

    Raises:
        ValueError: the likelihood has no mean-image loss.
    """
    if facts.nonfinite_step is not None:
        return True
    image, slow = _mean_image_loss(facts), _is_slow(facts)
    return facts.recent_loss is not None and facts.recent_loss > image and not slow


def _forecast_useless(facts: Observation, length: int) -> bool | None:
    image, median = _mean_image_loss(facts), facts.recent_median
    if facts.steps < max(length // 2, RECENT) or facts.first_loss is None:
        return None
    median = math.inf if median is None else median
    if facts.steps >= length:
        return median > image and not _is_slow(facts)
    if median > max(facts.first_loss, image) and not _is_slow(facts):
        return True
    return False if median < CLEARLY_USEFUL * image else None


def _is_calm(facts: Observation) -> bool:
    return (
        facts.recent_peak is not None
        and facts.first_loss is not None
        and facts.recent_peak <= facts.first_loss
    )


def _is_slow(facts: Observation) -> bool:
    """Whether the run is still on its way or has hardly moved: its loss never rose far above the first one,
    as it does in runs that break, and has fallen by a tenth since step 20 or is still near where it began. A
    run that is dead from the start falls to its level within those steps and stays there.

    Of 47 whole runs above the mean image's loss (`tests/benchmarks/border_mapping.py`, both planes) the 14 at
    low learning rates had risen to at most 4 times the first loss, and 28 of the 33 others to 14 times or
    more. The other five were dead from the start; two of them, still falling a little, count as slow.
    """
    if facts.settled_loss is None or facts.first_loss is None or facts.peak_loss is None:
        return False
    median = math.inf if facts.recent_median is None else facts.recent_median
    falls = median < FALLING * facts.settled_loss and facts.peak_loss <= FAR_ABOVE * facts.first_loss
    is_near = median > NEAR_FIRST * facts.first_loss and facts.peak_loss <= ABOVE * facts.first_loss
    return falls or is_near


def _mean_image_loss(facts: Observation) -> float:
    if facts.mean_image_loss is None:
        raise ValueError("the label useless needs objective.likelihood=mse_sum, which has a mean-image loss")
    return facts.mean_image_loss


class BorderLabels:
    """Follows a run step by step. `state_dict()` holds what the observation is made of."""

    def __init__(self, total_steps: int, mean_image_loss: float | None) -> None:
        self.total_steps, self.mean_image_loss = total_steps, mean_image_loss
        self._steps = 0
        self._first: float | None = None
        self._peak: float | None = None
        self._recent: list[float] = []
        self._settled: list[float] = []
        self._blowup_step: int | None = None
        self._nonfinite_step: int | None = None

    def update(self, loss: float, *, finite: bool) -> None:
        """Takes the loss of one step; finite is False if loss or gradient was not, and it was not skipped."""
        if math.isfinite(loss):
            self._first = loss if self._first is None else self._first
            self._peak = loss if self._peak is None else max(self._peak, loss)
            # From the absolute value, so that a negative log likelihood is judged in the same way.
            limit = self._first + (BLOWUP_FACTOR - 1) * abs(self._first)
            if loss > limit and self._blowup_step is None:
                self._blowup_step = self._steps
        if not finite:
            self._nonfinite_step = self._steps if self._nonfinite_step is None else self._nonfinite_step
            self._blowup_step = self._steps if self._blowup_step is None else self._blowup_step
        loss = loss if math.isfinite(loss) else math.inf
        self._recent = [*self._recent[-(RECENT - 1) :], loss]
        if self._steps >= RECENT and len(self._settled) < RECENT:
            self._settled = [*self._settled, loss]
        self._steps += 1

    def observation(self) -> Observation:
        return Observation(
            steps=self._steps,
            total_steps=self.total_steps,
            first_loss=self._first,
            peak_loss=self._peak,
            recent_loss=statistics.fmean(self._recent) if self._recent else None,
            recent_median=statistics.median(self._recent) if self._recent else None,
            recent_peak=max(self._recent[-CALM:], default=None),
            settled_loss=statistics.median(self._settled) if len(self._settled) == RECENT else None,
            mean_image_loss=self.mean_image_loss,
            blowup_step=self._blowup_step,
            nonfinite_step=self._nonfinite_step,
        )

    def state_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, list) else v for k, v in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)
