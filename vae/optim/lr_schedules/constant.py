"""`optim.lr` throughout."""

from vae.config import OptimConfig


def factor(step: int, total: int, config: OptimConfig) -> float:
    return 1.0
