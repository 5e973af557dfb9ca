"""The final weight from the first step on."""

from vae.config import ObjectiveConfig


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    return 1.0


def warmup_fraction(config: ObjectiveConfig) -> float:
    return 0.0
