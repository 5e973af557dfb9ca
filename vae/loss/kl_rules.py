"""What becomes of the KL in the loss, by name (`objective.kl_rule`).

To add one, write the function and name it in `RULES`. What it must keep: it takes the KL of every latent
dimension (averaged over the batch), the weight and the share of the warm-up that is done (0 to 1), and
returns a scalar to add to the reconstruction loss, in the same units: nats an image where the weight is 1.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from vae.config import ObjectiveConfig

Rule = Callable[[Tensor, float, float, "ObjectiveConfig"], Tensor]


def _beta(kl_per_dim: Tensor, weight: float, progress: float, config: "ObjectiveConfig") -> Tensor:
    """weight * KL: the ELBO at 1, beta-VAE elsewhere (Higgins et al. 2017, eq. 4)."""
    return weight * kl_per_dim.sum()


def _free_bits(kl_per_dim: Tensor, weight: float, progress: float, config: "ObjectiveConfig") -> Tensor:
    """weight * sum_j max(KL_j, free_bits): nothing is gained below the floor (Kingma et al. 2016, eq. 15)."""
    return weight * kl_per_dim.clamp_min(config.free_bits).sum()


def _capacity(kl_per_dim: Tensor, weight: float, progress: float, config: "ObjectiveConfig") -> Tensor:
    """weight * |KL - C|, C growing linearly to `capacity` over the warm-up (Burgess et al. 2018, eq. 8)."""
    return weight * (kl_per_dim.sum() - config.capacity * progress).abs()


RULES: dict[str, Rule] = {"beta": _beta, "free_bits": _free_bits, "capacity": _capacity}
