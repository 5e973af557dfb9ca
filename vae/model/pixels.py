"""Conversion between uint8 tiles and the network's range, for each `output_range`.

tanh_unit        data in [-1, 1], the decoder ends in tanh (the default: the decoder can reach every value)
imagenet_linear  ImageNet mean and standard deviation, no tanh
paper            ImageNet mean and standard deviation, tanh: the paper's setting, whose decoder cannot
                 reach values outside [mean - std, mean + std] of a channel
"""

from functools import cache

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@cache
def _scale(output_range: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Offset and scale, (1, 3, 1, 1), of x = (unit - offset) / scale; kept, as a copy makes the host wait."""
    unit = output_range == "tanh_unit"
    mean = (0.5, 0.5, 0.5) if unit else IMAGENET_MEAN
    std = (0.5, 0.5, 0.5) if unit else IMAGENET_STD
    shape = (1, 3, 1, 1)
    return (
        torch.tensor(mean, dtype=torch.float32, device=device).view(shape),
        torch.tensor(std, dtype=torch.float32, device=device).view(shape),
    )


def normalise(
    tiles: Tensor, output_range: str, memory_format: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """(B, 3, H, W) uint8 -> float32 in the network's range, laid out as `memory_format`."""
    # One new tensor, then in place; per-channel values are fast only while a channel's pixels are contiguous.
    x = tiles.to(torch.float32)
    if output_range == "tanh_unit":  # scalars are faster still
        x.mul_(2 / 255).sub_(1)
    else:
        offset, scale = _scale(output_range, tiles.device)
        x.mul_(1 / (255 * scale)).sub_(offset / scale)
    return x.contiguous(memory_format=memory_format)


def to_unit(x: Tensor, output_range: str) -> Tensor:
    """(B, 3, H, W) in the network's range -> float32 in [0, 1], clamped."""
    offset, scale = _scale(output_range, x.device)
    return (x.to(torch.float32) * scale + offset).clamp(0, 1)


def to_uint8(x: Tensor, output_range: str) -> Tensor:
    """(B, 3, H, W) in the network's range -> uint8; values that are not finite become black."""
    unit = torch.where(x.isfinite(), to_unit(x, output_range), 0.0)
    return unit.mul(255).round().to(torch.uint8)


def unreachable_pixel_fraction(tiles: Tensor, output_range: str) -> float:
    """Share of the channel values of (N, 3, H, W) uint8 tiles that the decoder cannot produce."""
    if output_range != "paper":
        return 0.0
    tiles = tiles.cpu()
    # Only 256 grey levels per channel are possible: count them instead of normalising every pixel.
    outside = normalise(torch.arange(256).view(-1, 1, 1, 1).expand(-1, 3, 1, 1), output_range).abs() > 1
    counts = torch.stack([torch.bincount(tiles[:, c].reshape(-1).long(), minlength=256) for c in range(3)], 1)
    return float((counts * outside.view(256, 3)).sum() / counts.sum())
