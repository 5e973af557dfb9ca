"""weight * |KL - C|, C growing linearly to `capacity` over the warm-up (Burgess et al. 2018, eq. 8)."""

import torch
from torch import Tensor

from vae.config import ObjectiveConfig
from vae.loss.kl_rules import Number


def penalty(kl_per_dim: Tensor, weight: Number, progress: Number, config: ObjectiveConfig) -> Tensor:
    target = config.capacity * progress
    if isinstance(target, Tensor):  # in float64, as the number would be; then as it meets the KL
        target = target.to(torch.float32)
    return weight * (kl_per_dim.sum() - target).abs()
