"""Learning rates of single layers: those that grow too fast with a network's width get smaller ones.

The latent heads are the one place where the fan-in grows without bound: with every halving that is left out,
and with the width. Over its N inputs h one step at a rate lr moves an output of such a layer

    under Adam by about lr sum |h_i|, since every weight moves by about lr: as N
    under SGD by lr sum h_i^2 g, with g the gradient of the output: as N

so a rate that falls as 1 / N keeps the step of the output, and with it the border of stability, where it is.
That is the rule for output layers of the maximal update parametrisation (Yang et al. 2022, arXiv 2203.03466,
table 3) for both optimizers, written as a learning rate: the function at initialisation, its gradients and
the checkpoint are the same. Biases have one input, whatever the width.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from vae.config import OptimConfig
from vae.model.layout import head_fan_in
from vae.model.network import VAE
from vae.model.protocol import Autoencoder

HEAD_FAN_IN = 2048
"""With so many inputs a head trains at `optim.lr` itself: those of 64 px, four halvings and base width 16."""


def parameter_groups(
    config: OptimConfig, model: Autoencoder, others: Iterable[nn.Parameter]
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """What an optimizer is built from: all parameters, or groups, of which one has an `lr_scale`.

    others: further parameters, such as those of the likelihood.
    """
    every = [*model.trained(), *others]
    if config.head_scale == "none":
        return every
    assert isinstance(model, VAE)  # a config of another network is refused
    heads = [model.encoder.fc_mu.weight, model.encoder.fc_logvar.weight]
    scaled = {id(weight) for weight in heads}
    rest: dict[str, Any] = {"params": [p for p in every if id(p) not in scaled]}
    return [rest, {"params": heads, "lr_scale": HEAD_FAN_IN / head_fan_in(model.config)}]
