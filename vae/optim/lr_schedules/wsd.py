"""Warm-up, stable, then linear decay to 0 over the last `lr_decay_fraction` of the run."""

from vae.config import OptimConfig


def factor(step: int, total: int, config: OptimConfig) -> float:
    decay = config.lr_decay_fraction * total
    return min(1.0, (total - step) / decay) if decay else 1.0
