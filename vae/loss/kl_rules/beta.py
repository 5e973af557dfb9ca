"""weight * KL: the ELBO at weight 1, beta-VAE elsewhere (Higgins et al. 2017, eq. 4)."""

from torch import Tensor

from vae.config import ObjectiveConfig
from vae.loss.kl_rules import Number


def penalty(kl_per_dim: Tensor, weight: Number, progress: Number, config: ObjectiveConfig) -> Tensor:
    return weight * kl_per_dim.sum()
