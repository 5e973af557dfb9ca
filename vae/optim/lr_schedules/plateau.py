"""`optim.lr`, multiplied by `lr_gamma` whenever the validation objective has stopped improving.

`LearningRate` keeps count of the epochs and applies the reductions.
"""

from vae.config import OptimConfig

NEEDS_VALIDATION = True


def factor(step: int, total: int, config: OptimConfig) -> float:
    return 1.0
