"""From a depth to layers: how many convolutions at which resolution, and how wide.

depth = number of convolution layers of a side. The first `num_downsamples` of them change the
resolution, num_downsamples = min(encoder_depth, decoder_depth, max_downsamples); the rest are added
at constant resolution, spread over the stages from the deepest up. So depth 1 is one strided layer,
depth 4 four, and depth 6 with max_downsamples 4 four strided ones and one more on each of the two
deepest stages.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae.config import ModelConfig


def num_downsamples(config: "ModelConfig") -> int:
    return min(config.encoder_depth, config.decoder_depth, config.max_downsamples)


def grid_sizes(config: "ModelConfig") -> list[int]:
    """Side of the square feature map before the first stage and after each, in pixels.

    Raises:
        ValueError: a size would not be whole; the message lists the sizes.
    """
    sizes = [config.image_size / 2**stage for stage in range(num_downsamples(config) + 1)]
    if any(size != int(size) for size in sizes):
        whole = sum(size == int(size) for size in sizes) - 1
        shown = ", ".join(f"{size:g}" for size in sizes)
        mend = f"model.max_downsamples to {whole} or less" if whole else "model.image_size to an even number"
        raise ValueError(
            f"image_size {config.image_size} cannot be halved {len(sizes) - 1} times "
            f"(sizes {shown}): set {mend}"
        )
    return [int(size) for size in sizes]


def stage_channels(config: "ModelConfig") -> list[int]:
    """Channels of each stage, shallowest first: doubled from `base_channels` up to `max_channels`."""
    return [min(config.base_channels * 2**s, config.max_channels) for s in range(num_downsamples(config))]


def extra_layers(depth: int, stages: int) -> list[int]:
    """Constant-resolution layers of each stage, shallowest first: dealt out from the deepest up."""
    extra = [0] * stages
    for i in range(depth - stages):
        extra[stages - 1 - i % stages] += 1
    return extra


def head_fan_in(config: "ModelConfig") -> int:
    """Inputs of the latent head (`fc_mu`, `fc_logvar`): the channels of the last grid times its area."""
    return stage_channels(config)[-1] * grid_sizes(config)[-1] ** 2
