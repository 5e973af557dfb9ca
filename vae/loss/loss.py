"""The evidence lower bound, as a loss to minimise."""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from vae.config import ObjectiveConfig
from vae.loss import kl_rules, likelihoods
from vae.loss.kl_rules import Number
from vae.model.pixels import normalise
from vae.model.protocol import NO_TERMS, Autoencoder, Forward

AT_ONCE = 256
"""Images on a device that are looked at together."""


class LossTerms(NamedTuple):
    """Summed over an image's values or latent dimensions, averaged over the batch; float32.

    loss, recon_loss and kl are scalars; kl_per_dim (latent_dim,) sums to kl. With the rule `beta`
    loss = recon_loss + kl_weight * kl, and the terms of `extra`, scalars by name, where the network has some.
    """

    loss: Tensor
    recon_loss: Tensor
    kl: Tensor
    kl_per_dim: Tensor
    extra: Mapping[str, Tensor] = NO_TERMS


def kl_per_dim(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) per latent dimension, averaged over the batch: (B, D) -> (D,).

    Kingma and Welling 2014, appendix B.
    """
    return (0.5 * (mu.square() + logvar.exp() - 1 - logvar)).mean(0)


class Loss:
    """The loss of one run: its likelihood, its rule for the KL, and the precision of the forward pass.

    A likelihood may have parameters: a run trains `parameters()` together with the model's.
    """

    def __init__(self, config: ObjectiveConfig | None = None, precision: str = "float32") -> None:
        self.config = config or ObjectiveConfig()
        self.precision = precision
        self.likelihood = likelihoods.build(self.config)
        self._penalty = kl_rules.build(self.config)

    def __call__(
        self, model: Autoencoder, batch: Tensor, noise: Tensor, kl_weight: Number, progress: Number = 1.0
    ) -> tuple[LossTerms, Forward]:
        """(B, 3, H, W) uint8 and (B, latent_dim) standard normal -> the loss and the forward pass.

        progress is the share of the KL warm-up that is done. Losses are float32 even under autocast.
        """
        x = normalise(batch, model.config.output_range, model.memory_format)
        autocast = torch.autocast(
            x.device.type,
            torch.bfloat16,
            enabled=self.precision == "bfloat16",
            cache_enabled=x.device.type == "cpu",  # a CUDA graph must not keep a cast of the weights
        )
        with autocast:
            output = model(x, noise)
        extra = model.extra_loss(x, output)
        return self.terms(x, output, kl_weight, progress, extra), output

    def terms(
        self,
        x: Tensor,
        output: Forward,
        kl_weight: Number,
        progress: Number = 1.0,
        extra: Mapping[str, Tensor] = NO_TERMS,
    ) -> LossTerms:
        """The loss of a forward pass; x (B, 3, H, W) in the network's range. extra: what it has besides."""
        recon_loss = self.likelihood(output.recon, x)
        per_dim = kl_per_dim(output.mu, output.logvar)
        penalty = self.penalty(per_dim, kl_weight, progress)
        loss = recon_loss + penalty
        for term in extra.values():
            loss = loss + term
        return LossTerms(loss, recon_loss, per_dim.sum(), per_dim, extra)

    def penalty(self, per_dim: Tensor, kl_weight: Number, progress: Number = 1.0) -> Tensor:
        """The KL's part of the loss, a scalar; per_dim (latent_dim,) as `kl_per_dim` gives it."""
        return self._penalty(per_dim, kl_weight, progress, self.config)

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the loss itself learns."""
        return list(self.likelihood.parameters())

    def to(self, device: torch.device) -> Self:
        self.likelihood.to(device)
        return self

    def in_float32(self) -> "Loss":
        """The same loss, sharing what it learns, without autocast."""
        other = copy.copy(self)
        other.precision = "float32"
        return other


def mean_image_loss(config: ObjectiveConfig, images: Tensor, output_range: str) -> float | None:
    """The loss of predicting the mean of (N, 3, H, W) uint8 images for any input, without a KL term.

    Summed over an image, averaged over the images; None unless the likelihood is `mse_sum`.
    """
    return _mean_image_loss(images, output_range) if config.likelihood == "mse_sum" else None


@lru_cache(maxsize=4)
def _mean_image_loss(images: Tensor, output_range: str) -> float:
    """Kept, by the identity of the tensor: all trials of a process share their tiles."""
    if images.device.type == "cpu":
        x = normalise(images, output_range)
        return float((x - x.mean(0)).square().sum() / len(x))
    return _spread_on_device(images, output_range)


def _spread_on_device(images: Tensor, output_range: str) -> float:
    """The same, part by part: all images at once in float32 would take many times their memory.

    Exact but for the last division and the scale of a grey level, because sums of whole numbers are.
    """
    total = torch.zeros(images.shape[1:], dtype=torch.int64, device=images.device)
    squares = torch.zeros_like(total)
    for part in torch.split(images, AT_ONCE):
        levels = part.to(torch.int32)
        total += levels.sum(0)
        squares += levels.square().sum(0)
    spread = squares.double() - total.double().square() / len(images)
    ends = torch.tensor([0, 255], dtype=torch.uint8, device=images.device).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    low, high = normalise(ends, output_range).double().flatten(1)
    return float((spread.sum((1, 2)) * ((high - low) / 255).square()).sum() / len(images))
