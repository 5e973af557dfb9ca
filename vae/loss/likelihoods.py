"""Likelihoods of an image given its reconstruction, by name (`objective.likelihood`).

To add one, subclass `Likelihood` and name it in `LIKELIHOODS`. What it must keep: `forward` returns a
scalar, the negative log likelihood (up to a constant where it says so) summed over an image's values and
averaged over the batch, in float32, differentiable in the reconstruction; what it learns is a Parameter.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, mse_loss, softplus

LOG_2PI = math.log(2 * math.pi)
LEAST_VARIANCE = 1e-6


class Likelihood(nn.Module):
    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        """recon and x (B, 3, H, W) in the network's range -> scalar."""
        raise NotImplementedError


class MseSum(Likelihood):
    """Squared error. With a KL weight w it is a Gaussian decoder of variance w / 2, less a constant."""

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        return mse_loss(recon, x, reduction="sum") / x.shape[0]


class Gaussian(Likelihood):
    """Gaussian with one learned variance for all values (sigma-VAE: Rybkin et al. 2021, section 3.1).

    The logarithm of the standard deviation is bounded below softly, as theirs: -6 + softplus(s + 6).
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        log_sigma = -6 + softplus(self.log_sigma + 6)
        squared = mse_loss(recon, x, reduction="sum") / x.shape[0]
        values = x[0].numel()
        return 0.5 * squared * torch.exp(-2 * log_sigma) + values * (log_sigma + 0.5 * LOG_2PI)


class GaussianOptimal(Likelihood):
    """Gaussian with the variance that maximises the batch's likelihood: its mean squared error (Rybkin et al.
    2021, eq. 5). Then the loss is values / 2 * (log mse + 1 + log 2 pi).
    """

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        mse = mse_loss(recon, x).clamp_min(LEAST_VARIANCE)
        return 0.5 * x[0].numel() * (mse.log() + 1 + LOG_2PI)


class DiscretizedLogistic(Likelihood):
    """Logistic around the reconstruction, integrated over the 256 grey levels of [-1, 1] (Kingma et al. 2016,
    appendix; Salimans et al. 2017, eq. 2 with one component), one learned scale a channel.

    The outermost levels take the tails, so that the 256 probabilities sum to 1. Needs `tanh_unit`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((3,), -2.0))

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        log_scale = self.log_scale.clamp_min(-7).view(1, 3, 1, 1)
        centred, half = x - recon, 1 / 255
        upper = (centred + half) * torch.exp(-log_scale)
        lower = (centred - half) * torch.exp(-log_scale)
        # log(sigmoid(u) - sigmoid(l)) = logsigmoid(u) + logsigmoid(-l) + log(1 - exp(l - u)), without
        # cancellation however far out the value lies.
        width = 2 * half * torch.exp(-log_scale)
        inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        log_p = torch.where(x < -1 + half, logsigmoid(upper), inside)
        log_p = torch.where(x > 1 - half, logsigmoid(-lower), log_p)
        return -log_p.sum() / x.shape[0]


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "mse_sum": MseSum,
    "gaussian": Gaussian,
    "gaussian_optimal": GaussianOptimal,
    "discretized_logistic": DiscretizedLogistic,
}
