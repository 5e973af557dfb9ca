"""How far a gradient is from what Adam expects of it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae.optim.optimizers import second_moments


def adam_rms(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> Tensor:
    """Largest over tensors of sqrt(mean(g^2 / max(v, eps^2))), a float32 scalar; call it before the step.

    v is Adam's second moment before this step, bias-corrected, so that a stationary gradient gives 1.
    Spikes follow large values by 1-8 steps (StableAdamW: Wortsman et al. 2023, arXiv 2304.13013). nan
    before the first step, and for optimizers without such a moment.
    """
    moments = second_moments(optimizer, parameters)
    if moments is None:
        return torch.full((), torch.nan, device=parameters[0].device)
    floor = optimizer.param_groups[0]["eps"] ** 2
    ratios = [
        (p.grad.square() / v.clamp_min(floor)).mean()
        for p, v in zip(parameters, moments, strict=True)
        if p.grad is not None
    ]
    return torch.stack(ratios).max().sqrt()
