"""Density and coverage (Naeem et al. 2020): are samples where real tiles are, and at all of them?"""

import torch
from torch import Tensor

NEIGHBOURS = 5


def density(real: Tensor, fake: Tensor, seed: int = 0) -> Tensor:
    """Mean over samples of the number of real balls around them, over k (equation 4): real, fake (N, D).

    A real row's ball reaches to its k-th nearest other real row, k = 5. About 1 if both are draws of one
    distribution; more if samples crowd where real tiles are dense, less if they are elsewhere.
    """
    return inside_balls(real, fake).sum(0).double().mean() / NEIGHBOURS


def coverage(real: Tensor, fake: Tensor, seed: int = 0) -> Tensor:
    """Share of the real balls that hold a sample (equation 5): real and fake (N, D); balls as for density.

    About 1 - 2^-k = 0.97 for equal numbers of one distribution (their appendix), less if modes are missing.
    """
    return inside_balls(real, fake).any(1).double().mean()


def inside_balls(real: Tensor, fake: Tensor) -> Tensor:
    """(N, M): whether sample j lies in the ball of real row i."""
    if len(real) <= NEIGHBOURS:
        raise ValueError(f"density and coverage need more than {NEIGHBOURS} real tiles, not {len(real)}")
    real, fake = real.double(), fake.double()  # the fast way to distances cancels in float32
    between = torch.cdist(real, real)
    # The nearest row is the row itself.
    radius = between.topk(NEIGHBOURS + 1, dim=1, largest=False).values[:, -1:]
    return torch.cdist(real, fake) <= radius
