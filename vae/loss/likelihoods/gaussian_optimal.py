"""Gaussian with the variance that maximises the batch's likelihood: its mean squared error (Rybkin et al.
2021, eq. 5). Then the loss is values / 2 * (log mse + 1 + log 2 pi).
"""

from torch import Tensor
from torch.nn.functional import mse_loss

from vae.config import ObjectiveConfig
from vae.loss.likelihoods import Likelihood, LogDensity
from vae.loss.likelihoods.gaussian import LOG_2PI, normal_log_density

MIN_VARIANCE = 1e-6


class GaussianOptimal(Likelihood):
    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        mse = mse_loss(recon, x).clamp_min(MIN_VARIANCE)
        return 0.5 * x[0].numel() * (mse.log() + 1 + LOG_2PI)

    def log_density(self, config: ObjectiveConfig, recon: Tensor, x: Tensor) -> LogDensity:
        """With the mean squared error of all the reconstructions as variance: one number of many values, so
        it flatters by next to nothing."""
        return normal_log_density(max(float(mse_loss(recon, x)), MIN_VARIANCE))


def build() -> GaussianOptimal:
    return GaussianOptimal()
