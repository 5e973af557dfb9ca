"""Rises along half a cosine over the warm-up, easing in and out, then stays."""

import math

from vae.config import ObjectiveConfig
from vae.loss.kl_schedules import warmup_share


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    return 0.5 * (1 - math.cos(math.pi * warmup_share(step, total, config)))


def warmup_fraction(config: ObjectiveConfig) -> float:
    return config.kl_warmup_fraction
