"""Adaptive gradient clipping of NFNets (Brock et al. 2021, eq. 3), unit by unit.

A unit is a slice along the first dimension: the weights into one output of a linear layer or convolution, or
out of one input of a transposed convolution. Its gradient is scaled so that
|g| <= agc_ratio * max(|w|, 1e-3). Every entry of a bias or of a norm's parameters is a unit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae.optim.clipping import ClippingPolicy

MIN_WEIGHT_NORM = 1e-3


def unit_norms(x: Tensor) -> Tensor:
    """L2 norm of every unit of `x`, shaped to broadcast against it."""
    if x.dim() <= 1:
        return x.abs()
    norms: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim())), keepdim=True)
    return norms


class Policy(ClippingPolicy):
    on_device = True

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        acts = torch.zeros((), dtype=torch.bool, device=grad_norm.device)
        for parameter in parameters:
            if parameter.grad is None:
                continue
            bound = self.config.agc_ratio * unit_norms(parameter.detach()).clamp_min(MIN_WEIGHT_NORM)
            norms = unit_norms(parameter.grad)
            over = norms > bound
            parameter.grad.mul_(torch.where(over, bound / norms, torch.ones_like(norms)))
            acts |= over.any()
        return acts
