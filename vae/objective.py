"""The evidence lower bound, as a loss to minimise."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import mse_loss

from vae.model import Forward


class LossTerms(NamedTuple):
    """Summed over an image's values or latent dimensions, averaged over the batch; float32.

    loss = recon_loss + kl_weight * kl, all scalars; kl_per_dim (latent_dim,) sums to kl.
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


def elbo(x: Tensor, output: Forward, kl_weight: float) -> LossTerms:
    """x (B, 3, H, W) in the network's range: summed squared error plus weighted KL."""
    recon_loss = mse_loss(output.recon, x, reduction="sum") / x.shape[0]
    per_dim = kl_per_dim(output.mu, output.logvar)
    kl = per_dim.sum()
    return LossTerms(recon_loss + kl_weight * kl, recon_loss, kl, per_dim)
