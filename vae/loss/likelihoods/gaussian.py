"""Gaussian with one learned variance for all values (sigma-VAE: Rybkin et al. 2021, section 3.1).

The logarithm of the standard deviation is softly bounded below, as theirs is: -6 + softplus(s + 6).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from vae.config import ObjectiveConfig
from vae.loss.likelihoods import Likelihood, LogDensity

LOG_2PI = math.log(2 * math.pi)


def normal_log_density(variance: float) -> LogDensity:
    """Of independent Gaussians of one variance around the reconstruction."""

    def log_density(recon: Tensor, x: Tensor) -> Tensor:
        squared = (recon - x).square().sum((-3, -2, -1), dtype=torch.float64)
        return -0.5 * (squared / variance + x[0].numel() * (math.log(variance) + LOG_2PI))

    return log_density


class Gaussian(Likelihood):
    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        log_sigma = self._bounded()
        squared = mse_loss(recon, x, reduction="sum") / x.shape[0]
        values = x[0].numel()
        return 0.5 * squared * torch.exp(-2 * log_sigma) + values * (log_sigma + 0.5 * LOG_2PI)

    def log_density(self, config: ObjectiveConfig, recon: Tensor, x: Tensor) -> LogDensity:
        return normal_log_density(math.exp(2 * float(self._bounded())))

    def _bounded(self) -> Tensor:
        return -6 + softplus(self.log_sigma + 6)


def build() -> Gaussian:
    return Gaussian()
