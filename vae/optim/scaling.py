"""Learning rates of single layers: those that would move their outputs further in a larger network get less.

Over its N inputs h one step at a rate lr moves an output of a layer

    under Adam by about lr sum |h_i|, since every weight moves by about lr: as N
    under SGD by lr sum h_i^2 g, with g the gradient of the output: as N

so a rate that falls as 1 / N keeps the step of the output where it is. That is the maximal update
parametrisation (Yang et al. 2022, arXiv 2203.03466, table 3), written as learning rates: the function at
initialisation, its gradients and the checkpoint are the same. Norms and biases have one input, whatever the
width.

`head_scale=mup`: the latent heads alone. They are the one place where inputs grow without bound, with every
halving that is left out and with the width, and where training becomes non-finite.

`parametrisation=mup`: every layer. A convolution has as many inputs as enter one output: its input channels
times its kernel, for a transposed one the kernel over its squared stride. And since the changes of all layers
add up along the network, the rates of all but the heads fall with its number of layers L, as L^-2. Theory has
-1.5 for a step of SGD (Jelassi et al. 2023, arXiv 2305.07810; for convolutions, with and without residual
connections, arXiv 2602.07494, where L is the shortest path, a residual block one step of it); under Adam -1.5
left a third of a decade between depth 2 and 8 on the bundled scenes (three seeds, 600 steps), hence -2. The
heads are left out, so that the border of non-finite training, which is theirs, does not move with depth.
Under SGD a rate alone does not do it, since the gradients of hidden layers depend on the width too.
"""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from vae.config import OptimConfig
from vae.model.layout import head_fan_in
from vae.model.network import VAE
from vae.model.protocol import Autoencoder

# With so many inputs a layer trains at `optim.lr` itself: about those of depth 4 and base width 16 at 64 px.
HEAD_FAN_IN = 2048
LATENT_FAN_IN = 64
HIDDEN_FAN_IN = 512
RGB_FAN_IN = 64
LAYERS = 10
"""Of depth 4: four convolutions a side, the heads, and the decoder's first layer."""
DEPTH_EXPONENT = 2
IMAGE_CHANNELS = 3


def parameter_groups(
    config: OptimConfig, model: Autoencoder, others: Iterable[nn.Parameter]
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """What an optimizer is built from: all parameters, or groups, each with its `lr_scale`.

    others: further parameters, such as those of the likelihood.
    """
    every = [*model.trained(), *others]
    if config.parametrisation == "standard" and config.head_scale == "none":
        return every
    assert isinstance(model, VAE)  # a config of another network is refused
    scales = _of_heads(model) if config.parametrisation == "standard" else _of_all_layers(model)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in every:
        groups.setdefault(scales.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": parameters, "lr_scale": scale} for scale, parameters in groups.items()]


def _of_heads(model: VAE) -> dict[int, float]:
    """By the id of a parameter, as those of the layers below."""
    scale = HEAD_FAN_IN / head_fan_in(model.config)
    return {id(head.weight): scale for head in (model.encoder.fc_mu, model.encoder.fc_logvar)}


def _of_all_layers(model: VAE) -> dict[int, float]:
    layers = model.config.encoder_depth + model.config.decoder_depth + 2
    by_depth = (LAYERS / layers) ** DEPTH_EXPONENT
    scales = {id(p): by_depth for p in model.parameters()}
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            scales[id(layer.weight)] = by_depth * _by_inputs(layer)
    biases = {id(head.bias): 1.0 for head in (model.encoder.fc_mu, model.encoder.fc_logvar)}
    return scales | biases | _of_heads(model)


def _by_inputs(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(layer, nn.Linear):
        return LATENT_FAN_IN / layer.in_features
    kernel = math.prod(layer.kernel_size)
    if isinstance(layer, nn.Conv2d):
        return 1.0 if layer.in_channels == IMAGE_CHANNELS else HIDDEN_FAN_IN / (layer.in_channels * kernel)
    inputs = layer.in_channels * kernel / math.prod(layer.stride)
    return (RGB_FAN_IN if layer.out_channels == IMAGE_CHANNELS else HIDDEN_FAN_IN) / inputs
