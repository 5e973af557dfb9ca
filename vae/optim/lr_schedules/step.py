"""Multiplied by `lr_gamma` after every `lr_step_fraction` of the run."""

from vae.config import OptimConfig


def factor(step: int, total: int, config: OptimConfig) -> float:
    return config.lr_gamma ** int(step / (config.lr_step_fraction * total))
