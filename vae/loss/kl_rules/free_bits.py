"""weight * sum_j max(KL_j, free_bits): nothing is gained below the floor (Kingma et al. 2016, eq. 15)."""

from torch import Tensor

from vae.config import ObjectiveConfig
from vae.loss.kl_rules import Number


def penalty(kl_per_dim: Tensor, weight: Number, progress: Number, config: ObjectiveConfig) -> Tensor:
    return weight * kl_per_dim.clamp_min(config.free_bits).sum()
