"""Squared maximum mean discrepancy between two sets of features, with the kernel of KID."""

import torch
from torch import Tensor

SUBSET = 100
SUBSETS = 20


def kernel_distance(
    real: Tensor, fake: Tensor, seed: int, *, subset: int = SUBSET, subsets: int = SUBSETS
) -> Tensor:
    """Unbiased squared maximum mean discrepancy, kernel (x . y / D + 1)^3 (Binkowski et al. 2018).

    real (N, D) and fake (M, D). Mean over random subsets of `subset` rows of each; if neither set is larger
    than that, once over all rows. 0 on average if both are draws of one distribution, so it can be negative.
    It is called KID where the features are of a network that was trained on images.
    """
    if max(len(real), len(fake)) <= subset:
        return _mmd(real, fake)
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        rows = torch.randperm(len(real), generator=generator)[:subset].to(real.device)
        others = torch.randperm(len(fake), generator=generator)[:subset].to(fake.device)
        values.append(_mmd(real[rows], fake[others]))
    return torch.stack(values).mean()


def _mmd(x: Tensor, y: Tensor) -> Tensor:
    """Equation 4 of Gretton et al. 2012; float64, because large terms cancel."""
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def off_diagonal_mean(square: Tensor) -> Tensor:
        n = len(square)
        return (square.sum() - square.diagonal().sum()) / (n * (n - 1))

    return off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2 * kernel(x, y).mean()
