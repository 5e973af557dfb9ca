"""Rules for the KL's part of the loss, one module each, found by its name (`objective.kl_rule`).

To add one, write `vae/loss/kl_rules/<name>.py` with a function `penalty(kl_per_dim, weight, progress,
config)`. What it must keep: it takes the KL of every latent dimension (latent_dim,), averaged over the batch,
the KL weight, and the share of the warm-up that is done (0 to 1), and returns a float32 scalar to add to the
reconstruction loss, linear in the weight, in the same units: nats per image if the weight is 1. Weight and
share are numbers, or scalars on the device (float32 and float64), which it asks for no value.
"""

from collections.abc import Callable

from torch import Tensor

from vae.config import ObjectiveConfig
from vae.names import KL_RULES

Number = float | Tensor
Penalty = Callable[[Tensor, Number, Number, ObjectiveConfig], Tensor]


def build(config: ObjectiveConfig) -> Penalty:
    penalty: Penalty = KL_RULES.load(config.kl_rule).penalty
    return penalty
