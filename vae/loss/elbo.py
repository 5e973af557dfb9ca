"""The evidence lower bound, as a loss to minimise."""

from typing import NamedTuple

from torch import Tensor

from vae.config import ObjectiveConfig
from vae.loss.kl_rules import RULES
from vae.loss.likelihoods import Likelihood, MseSum
from vae.model.network import Forward


class LossTerms(NamedTuple):
    """Summed over an image's values or latent dimensions, averaged over the batch; float32.

    loss, recon_loss and kl are scalars; kl_per_dim (latent_dim,) sums to kl. With the rule `beta`
    loss = recon_loss + kl_weight * kl.
    """

    loss: Tensor
    recon_loss: Tensor
    kl: Tensor
    kl_per_dim: Tensor


def kl_per_dim(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) a latent dimension, averaged over the batch: (B, D) -> (D,).

    Kingma and Welling 2014, appendix B.
    """
    return (0.5 * (mu.square() + logvar.exp() - 1 - logvar)).mean(0)


def elbo(
    x: Tensor,
    output: Forward,
    kl_weight: float,
    *,
    likelihood: Likelihood | None = None,
    config: ObjectiveConfig | None = None,
    progress: float = 1.0,
) -> LossTerms:
    """x (B, 3, H, W) in the network's range. By default summed squared error plus weighted KL.

    likelihood gives the reconstruction loss, `config.kl_rule` the KL's part of the loss; progress is the
    share of the KL warm-up that is done.
    """
    config = config or ObjectiveConfig()
    recon_loss = (likelihood or MseSum())(output.recon, x)
    per_dim = kl_per_dim(output.mu, output.logvar)
    penalty = RULES[config.kl_rule](per_dim, kl_weight, progress, config)
    return LossTerms(recon_loss + penalty, recon_loss, per_dim.sum(), per_dim)
