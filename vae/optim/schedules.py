"""KL-weight and learning-rate schedules: a step of a run of known length -> a factor.

A schedule is a pure function; add one by writing it and naming it in `KL` or `LR`. What it must keep:
`factor(step, total, config)` with 0 <= step < total, no state, finite, and 1 where it has done its
work (a KL schedule ends at 1, a learning-rate schedule starts from 1 before warm-up is applied).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae.config import ObjectiveConfig, OptimConfig


def _kl_constant(step: int, total: int, config: "ObjectiveConfig") -> float:
    return 1.0


def _kl_linear(step: int, total: int, config: "ObjectiveConfig") -> float:
    warmup = config.kl_warmup_fraction * total
    return min(1.0, step / warmup) if warmup else 1.0


def _kl_cosine(step: int, total: int, config: "ObjectiveConfig") -> float:
    return 0.5 * (1 - math.cos(math.pi * _kl_linear(step, total, config)))


def _kl_logistic(step: int, total: int, config: "ObjectiveConfig") -> float:
    """A logistic curve over the warm-up, from 0 to 1 exactly (Bowman et al. 2016 use its shape)."""
    steepness = 10.0
    share = _kl_linear(step, total, config)
    low, high = (1 / (1 + math.exp(-steepness * (edge - 0.5))) for edge in (0.0, 1.0))
    return (1 / (1 + math.exp(-steepness * (share - 0.5))) - low) / (high - low)


def _kl_cyclical(step: int, total: int, config: "ObjectiveConfig") -> float:
    """Each cycle ramps over its first half and stays at 1 over the second (Fu et al. 2019, eq. 6-7)."""
    position = step * config.kl_cycles / total % 1.0
    return min(1.0, 2 * position)


def _lr_constant(step: int, total: int, config: "OptimConfig") -> float:
    return 1.0


def _lr_cosine(step: int, total: int, config: "OptimConfig") -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * step / total))


def _lr_wsd(step: int, total: int, config: "OptimConfig") -> float:
    """Warm-up, stable, then linear decay to 0 over the last `lr_decay_fraction` of the run."""
    decay = config.lr_decay_fraction * total
    return min(1.0, (total - step) / decay) if decay else 1.0


def _lr_step(step: int, total: int, config: "OptimConfig") -> float:
    """Times `lr_gamma` after every `lr_step_fraction` of the run."""
    return config.lr_gamma ** int(step / (config.lr_step_fraction * total))


Schedule = Callable[[int, int, Any], float]
KL: dict[str, Schedule] = {
    "constant": _kl_constant,
    "linear": _kl_linear,
    "cosine": _kl_cosine,
    "logistic": _kl_logistic,
    "cyclical": _kl_cyclical,
}
LR: dict[str, Schedule] = {
    "constant": _lr_constant,
    "cosine": _lr_cosine,
    "wsd": _lr_wsd,
    "step": _lr_step,
    # The reductions depend on the validation objective: `LearningRate` keeps them.
    "plateau": _lr_constant,
}


def kl_weight(step: int, total: int, config: "ObjectiveConfig") -> float:
    return config.kl_weight * KL[config.kl_schedule](step, total, config)


def kl_progress(step: int, total: int, config: "ObjectiveConfig") -> float:
    """Share of the KL warm-up that is done, 0 to 1, whatever the schedule."""
    return min(1.0, step / end) if (end := kl_warmup_end(total, config)) else 1.0


def kl_warmup_end(total: int, config: "ObjectiveConfig") -> int:
    """First step at the final KL weight; epochs that end before it are neither selected nor counted."""
    if config.kl_schedule == "constant":
        return 0
    fraction = 0.5 / config.kl_cycles if config.kl_schedule == "cyclical" else config.kl_warmup_fraction
    return math.ceil(fraction * total)


class LearningRate:
    """The learning rate at a step: base rate x warm-up x schedule x plateau reductions.

    `state_dict()` holds the plateau's factor, its best objective and the epochs waited since.
    """

    def __init__(self, config: "OptimConfig", total: int) -> None:
        self.config, self.total = config, total
        self._state = {"factor": 1.0, "best": math.inf, "waited": 0}

    @property
    def top(self) -> float:
        """The rate between warm-up and decay."""
        return self.config.lr * self._state["factor"]

    def at(self, step: int) -> float:
        warmup = self.config.lr_warmup_fraction * self.total
        ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
        schedule = LR[self.config.lr_schedule](step, self.total, self.config)
        return self.config.lr * ramp * schedule * self._state["factor"]

    def observe(self, objective: float) -> None:
        """An epoch's validation objective at the final KL weight: `plateau` waits on it."""
        if self.config.lr_schedule != "plateau":
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
