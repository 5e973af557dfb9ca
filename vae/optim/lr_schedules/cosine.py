"""Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""

import math

from vae.config import OptimConfig


def factor(step: int, total: int, config: OptimConfig) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / total))
