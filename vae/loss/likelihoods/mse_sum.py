"""Squared error. With a KL weight w it is a Gaussian decoder of variance w / 2, less a constant."""

from torch import Tensor
from torch.nn.functional import mse_loss

from vae.config import ObjectiveConfig
from vae.loss.likelihoods import Likelihood, LogDensity
from vae.loss.likelihoods.gaussian import normal_log_density


class MseSum(Likelihood):
    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        return mse_loss(recon, x, reduction="sum") / x.shape[0]

    def log_density(self, config: ObjectiveConfig, recon: Tensor, x: Tensor) -> LogDensity:
        if not config.kl_weight:
            raise ValueError("objective.likelihood=mse_sum is no density with objective.kl_weight=0")
        return normal_log_density(config.kl_weight / 2)


def build() -> MseSum:
    return MseSum()
