"""Rises in equal steps over the warm-up, then stays."""

from vae.config import ObjectiveConfig
from vae.loss.kl_schedules import warmup_share


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    return warmup_share(step, total, config)


def warmup_fraction(config: ObjectiveConfig) -> float:
    return config.kl_warmup_fraction
