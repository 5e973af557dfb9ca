"""Density and coverage (Naeem et al. 2020): are samples where real tiles are, and are all of those met?"""

import torch
from torch import Tensor

from vae.quality.efficientnet import efficientnet_features
from vae.quality.metric import Metric
from vae.quality.random_features import random_features

NEIGHBOURS = 5


def density(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """Mean over samples of the number of real balls around them, over k (equation 4): real, fake (N, D).

    A real row's ball reaches to its k-th nearest other real row, k = 5. About 1 when both are draws of one
    distribution; more when samples crowd where real tiles are dense, less when they are off.
    """
    return float(_inside(real, fake).sum(0).double().mean()) / NEIGHBOURS


def coverage(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """Share of the real balls that hold a sample (equation 5): real and fake (N, D).

    About 1 - 2^-k = 0.97 for equal numbers of one distribution (their appendix), less when modes are missing.
    """
    return float(_inside(real, fake).any(1).double().mean())


def _inside(real: Tensor, fake: Tensor) -> Tensor:
    """(N, M): whether sample j lies in the ball of real row i."""
    if len(real) <= NEIGHBOURS:
        raise ValueError(f"density and coverage need more than {NEIGHBOURS} real tiles, not {len(real)}")
    real, fake = real.double(), fake.double()  # the fast way to distances cancels in float32
    between = torch.cdist(real, real)
    # The nearest row is the row itself.
    radius = between.kthvalue(NEIGHBOURS + 1, dim=1, keepdim=True).values
    return torch.cdist(real, fake) <= radius


DENSITY = Metric(random_features, density, better="higher")
COVERAGE = Metric(random_features, coverage, better="higher")
DENSITY_EFFICIENTNET = Metric(efficientnet_features, density, better="higher")
COVERAGE_EFFICIENTNET = Metric(efficientnet_features, coverage, better="higher")
