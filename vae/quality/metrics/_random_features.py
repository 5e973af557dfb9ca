"""Features of a fixed network of random convolutions: the same on every machine, nothing to download."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.quality.metrics import in_parts
from vae.quality.remembering import remembered

WIDTHS = (32, 64, 128)
BATCH = 8
MIN_ACTIVATION = 0.01
"""Added to an activation before its logarithm: about the effect of one grey level."""


@torch.no_grad()
def random_features(real: Tensor, fake: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two (N, 3, H, W) uint8 -> (N, 448) each, in standard deviations of the real set.

    Logarithm of the mean and of the standard deviation over the pixels of every channel of three 3 x 3
    layers with ReLU, of stride 1, 2 and 2. The logarithm keeps a few high-contrast tiles from dominating the
    cubic kernel of KID. A random network is suitable for images far from ImageNet (Naeem et al. 2020).
    The weights are fixed: `seed` does not change them.
    """
    rows = _of_real(real)
    std, mean = torch.std_mean(rows, 0)
    std = std.clamp_min(1e-6)
    return (rows - mean) / std, (raw_features(fake) - mean) / std


def raw_features(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, 448), before normalisation by the real set."""
    return torch.cat([_pooled(batch) for batch in in_parts(images, BATCH)])


_of_real = remembered(raw_features)


def _pooled(batch: Tensor) -> Tensor:
    # Small batches that stay in the cache, and channels last, take half the time on a CPU.
    x = batch.contiguous(memory_format=torch.channels_last).to(torch.float32) / 127.5 - 1
    pooled = []
    for i, weight in enumerate(_weights_on(x.device)):
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.relu(F.conv2d(padded, weight, stride=1 if i == 0 else 2))
        # Twenty times as fast as torch.std_mean over two axes.
        mean = x.mean((2, 3), keepdim=True)
        pooled += [(x - mean).square().mean((2, 3)).sqrt(), mean.flatten(1)]
    return (torch.cat(pooled, 1) + MIN_ACTIVATION).log()


@cache
def _weights_on(device: torch.device) -> list[Tensor]:
    return [weight.to(device) for weight in _weights()]


@cache
def _weights() -> list[Tensor]:
    """Drawn as in He et al. 2015. Half of the first layer's kernels sum to zero; otherwise colour would drown
    detail."""
    generator = torch.Generator().manual_seed(0)
    weights, channels = [], 3
    for width in WIDTHS:
        weight = torch.randn(width, channels, 3, 3, generator=generator)
        weights.append(weight * (2 / (9 * channels)) ** 0.5)
        channels = width
    weights[0][::2] -= weights[0][::2].mean((1, 2, 3), keepdim=True)
    return [weight.contiguous(memory_format=torch.channels_last) for weight in weights]
