"""The latent code: fixed draws from the prior, and how many dimensions are in use."""

import torch
from torch import Tensor

ACTIVE_VARIANCE = 0.01


def fixed_noise(count: int, latent_dim: int, device: torch.device) -> Tensor:
    """(count, latent_dim) standard normal, the same in every run: evaluations differ by the model only."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, latent_dim, generator=generator).to(device)


def active_units(mu: Tensor) -> Tensor:
    """Number of dimensions with Var_x E[z_j | x] >= 0.01 (Burda et al. 2016, section 5.2), a scalar.

    mu (N, latent_dim): the posterior means of N tiles.
    """
    return (mu.var(0, correction=0) >= ACTIVE_VARIANCE).sum()
