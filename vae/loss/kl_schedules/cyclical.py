"""Each of `kl_cycles` cycles rises over its first half and stays at 1 over its second (Fu et al. 2019, eq.
6-7)."""

from vae.config import ObjectiveConfig


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    position = step * config.kl_cycles / total % 1.0
    return min(1.0, 2 * position)


def warmup_fraction(config: ObjectiveConfig) -> float:
    return 0.5 / config.kl_cycles
