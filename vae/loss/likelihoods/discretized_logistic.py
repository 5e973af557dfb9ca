"""Logistic around the reconstruction, integrated over the 256 grey levels of [-1, 1] (Kingma et al. 2016,
appendix; Salimans et al. 2017, eq. 2 with one component), one learned scale per channel.

The outermost levels take the tails, so that the 256 probabilities sum to 1.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vae.config import ObjectiveConfig
from vae.loss.likelihoods import Likelihood, LogDensity

NEEDS_OUTPUT_RANGE = "tanh_unit"


class DiscretizedLogistic(Likelihood):
    discrete = True

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((3,), -2.0))

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        return -self._log_p(recon, x).sum() / x.shape[0]

    def log_density(self, config: ObjectiveConfig, recon: Tensor, x: Tensor) -> LogDensity:
        return lambda recon, x: self._log_p(recon, x).sum((-3, -2, -1), dtype=torch.float64)

    def _log_p(self, recon: Tensor, x: Tensor) -> Tensor:
        """Of every value."""
        log_scale = self.log_scale.clamp_min(-7).view(3, 1, 1)
        centred, half = x - recon, 1 / 255
        upper = (centred + half) * torch.exp(-log_scale)
        lower = (centred - half) * torch.exp(-log_scale)
        # log(sigmoid(u) - sigmoid(l)) = logsigmoid(u) + logsigmoid(-l) + log(1 - exp(l - u)), without
        # cancellation however far out the value lies.
        width = 2 * half * torch.exp(-log_scale)
        inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        log_p = torch.where(x < -1 + half, logsigmoid(upper), inside)
        return torch.where(x > 1 - half, logsigmoid(-lower), log_p)


def build() -> DiscretizedLogistic:
    return DiscretizedLogistic()
