"""From a depth to layers: how many convolutions at which resolution, and how wide.

Depth is the number of convolution layers of a side. The first `num_downsamples` of them change the
resolution, num_downsamples = min(encoder_depth, decoder_depth, max_downsamples); the rest are added
at constant resolution, spread over the stages from the deepest up. So depth 1 is one strided layer,
depth 4 is four, and depth 6 with max_downsamples 4 is four strided layers and one more on each of the two
deepest stages.
"""

from typing import overload

from vae.config import ModelConfig, NetworkConfig


def stage_channels(config: ModelConfig) -> list[int]:
    """Channels of each stage, shallowest first: doubled from `base_channels` up to `max_channels`."""
    return [min(config.base_channels * 2**s, config.max_channels) for s in range(config.num_downsamples)]


def extra_layers(depth: int, stages: int) -> list[int]:
    """Constant-resolution layers of each stage, shallowest first: dealt out from the deepest up."""
    extra = [0] * stages
    for i in range(depth - stages):
        extra[stages - 1 - i % stages] += 1
    return extra


@overload
def head_fan_in(config: ModelConfig) -> int: ...


@overload
def head_fan_in(config: NetworkConfig) -> int | None: ...


def head_fan_in(config: NetworkConfig) -> int | None:
    """Inputs of the latent head (`fc_mu`, `fc_logvar`): the channels of the last grid times its area.

    None for a network that is not ours, whose head is not known.
    """
    if not isinstance(config, ModelConfig):
        return None
    return stage_channels(config)[-1] * config.grid_sizes[-1] ** 2
