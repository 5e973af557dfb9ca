"""Use of the latent code: how many of its dimensions, and how many nats each."""

from typing import NamedTuple

from torch import Tensor

from vae.loss.loss import kl_per_dim
from vae.model.latent import active_units


class LatentUse(NamedTuple):
    """active_units: as `vae.model.latent.active_units` counts them. kl_per_dim: (D,) in nats, averaged over
    images; it sums to the objective's kl.
    """

    active_units: int
    kl_per_dim: Tensor


def latent_use(mu: Tensor, logvar: Tensor) -> LatentUse:
    """mu and logvar (N, D) of the posteriors of N >= 2 tiles.

    What it does not detect: whether the decoder uses the code. A dimension can be active and change no pixel,
    and one below the threshold can still carry information.
    """
    if len(mu) < 2 or mu.shape != logvar.shape:
        shapes = f"{tuple(mu.shape)} and {tuple(logvar.shape)}"
        raise ValueError(f"mu and logvar must both be (N, D) with N of 2 or more, not {shapes}")
    return LatentUse(int(active_units(mu)), kl_per_dim(mu, logvar))
