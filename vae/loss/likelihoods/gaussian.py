"""Gaussian with one learned variance for all values (sigma-VAE: Rybkin et al. 2021, section 3.1).

The logarithm of the standard deviation is softly bounded below, as theirs is: -6 + softplus(s + 6).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from vae.loss.likelihoods import Likelihood

LOG_2PI = math.log(2 * math.pi)


class Gaussian(Likelihood):
    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        log_sigma = -6 + softplus(self.log_sigma + 6)
        squared = mse_loss(recon, x, reduction="sum") / x.shape[0]
        values = x[0].numel()
        return 0.5 * squared * torch.exp(-2 * log_sigma) + values * (log_sigma + 0.5 * LOG_2PI)


def build() -> Gaussian:
    return Gaussian()
