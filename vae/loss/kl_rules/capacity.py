"""weight * |KL - C|, C growing linearly to `capacity` over the warm-up (Burgess et al. 2018, eq. 8)."""

from torch import Tensor

from vae.config import ObjectiveConfig


def penalty(kl_per_dim: Tensor, weight: float, progress: float, config: ObjectiveConfig) -> Tensor:
    return weight * (kl_per_dim.sum() - config.capacity * progress).abs()
