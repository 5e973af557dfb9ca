"""A logistic curve over the warm-up, from exactly 0 to exactly 1 (Bowman et al. 2016 use its shape)."""

import math

from vae.config import ObjectiveConfig
from vae.loss.kl_schedules import warmup_share

STEEPNESS = 10.0


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    share = warmup_share(step, total, config)
    low, high = (1 / (1 + math.exp(-STEEPNESS * (edge - 0.5))) for edge in (0.0, 1.0))
    return (1 / (1 + math.exp(-STEEPNESS * (share - 0.5))) - low) / (high - low)


def warmup_fraction(config: ObjectiveConfig) -> float:
    return config.kl_warmup_fraction
