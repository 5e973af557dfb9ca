"""Schedules of the KL weight, one module each, found by its name (`objective.kl_schedule`).

To add one, write `vae/loss/kl_schedules/<name>.py` with two functions:

    factor(step, total, config)    the factor of `objective.kl_weight` at step 0 <= step < total
    warmup_fraction(config)        the share of the run after which the factor has first reached 1

What they must keep: no state; the factor is finite, within 0 and 1, and 1 at the run's end.
"""

import math

from vae.config import ObjectiveConfig
from vae.names import KL_SCHEDULES


def kl_weight(step: int, total: int, config: ObjectiveConfig) -> float:
    """The KL's weight in the loss at a step, from 0, of `total`."""
    factor: float = KL_SCHEDULES.load(config.kl_schedule).factor(step, total, config)
    return config.kl_weight * factor


def kl_progress(step: int, total: int, config: ObjectiveConfig) -> float:
    """Share of the KL warm-up that is done, 0 to 1, whatever the schedule."""
    return min(1.0, step / end) if (end := kl_warmup_end(total, config)) else 1.0


def kl_warmup_end(total: int, config: ObjectiveConfig) -> int:
    """First step at the final KL weight; epochs that end before it are neither selected nor counted."""
    fraction: float = KL_SCHEDULES.load(config.kl_schedule).warmup_fraction(config)
    return math.ceil(fraction * total)


def warmup_share(step: int, total: int, config: ObjectiveConfig) -> float:
    """Share of `kl_warmup_fraction` that is done, 0 to 1: what most schedules are a curve of."""
    warmup = config.kl_warmup_fraction * total
    return min(1.0, step / warmup) if warmup else 1.0
