"""How much of the latent code is in use."""

from typing import NamedTuple

from torch import Tensor

from vae.loss.elbo import kl_per_dim
from vae.training.evaluate import ACTIVE_VARIANCE


class LatentUse(NamedTuple):
    """active_units: dimensions with Var_x E[z_j | x] >= 0.01 (Burda et al. 2016, section 5.2).
    kl_per_dim: (D,) in nats, averaged over images; it sums to the objective's kl.
    """

    active_units: int
    kl_per_dim: Tensor


def latent_use(mu: Tensor, logvar: Tensor) -> LatentUse:
    """mu and logvar (N, D) of the posteriors of N >= 2 tiles.

    What it does not see: whether the decoder listens. A dimension can be active and change no pixel, and
    one below the threshold can still carry something.
    """
    if len(mu) < 2 or mu.shape != logvar.shape:
        shapes = f"{tuple(mu.shape)} and {tuple(logvar.shape)}"
        raise ValueError(f"mu and logvar must both be (N, D) with N of 2 or more, not {shapes}")
    active = int((mu.var(0, correction=0) >= ACTIVE_VARIANCE).sum())
    return LatentUse(active, kl_per_dim(mu, logvar))
