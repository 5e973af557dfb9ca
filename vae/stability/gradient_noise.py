"""How much of a batch's gradient is signal, and how much is noise of the draw. For evaluation only."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae.stability.curvature import LossFunction

PARTS = 4
"""Into which a batch is divided: batch norm leaves no gradients of single images."""


def gradient_snr(losses: Sequence[LossFunction], parameters: Sequence[Tensor]) -> float:
    """|G|^2 / tr Cov(g): squared length of the expected gradient over the variance of that of a batch.

    1 is where noise and signal are alike; it is the batch size over the simple noise scale (McCandlish et al.
    2018, arXiv 1812.06162). Among the instruments of Cockpit (Schneider et al. 2021, arXiv 2102.06604) it is
    for the whole gradient what the mean signal-to-noise ratio is for its elements, which would be a mean of
    ratios without an expectation for as few draws as there are here.

    losses: of k parts of the batch of one size, each with images and noise of its own, whose mean is the
    batch's loss. With S the sum over elements of the unbiased variance of the parts' gradients, the batch's
    variance is S / k and |mean gradient|^2 - S / k estimates |G|^2 without bias, so a batch of pure noise
    gives values around 0, negative ones among them. A gradient per part; nan of fewer than two parts, inf
    without noise.
    """
    count = len(losses)
    if count < 2:
        return math.nan
    total = [torch.zeros_like(p) for p in parameters]
    squares = 0.0
    for loss in losses:
        gradients = torch.autograd.grad(loss(), parameters, materialize_grads=True)
        torch._foreach_add_(total, gradients)
        squares += sum(float(g.double().square().sum()) for g in gradients)
    mean = sum(float((t.double() / count).square().sum()) for t in total)
    variance = max(squares - count * mean, 0.0) / (count - 1) / count
    return (mean - variance) / variance if variance > 0 else math.inf


def parts(batch: Tensor, noise: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The images (B, ...) and noise (B, ...) of `PARTS` equal parts; none where each had fewer than two
    images, which batch norm needs. What does not fill a part is left out."""
    size = len(batch) // PARTS
    if size < 2:
        return []
    return [
        (batch[start : start + size], noise[start : start + size]) for start in range(0, size * PARTS, size)
    ]
