"""What a network must do to be trained here, and what every network is given besides.

A network of yours is a `torch.nn.Module` with `encode` and `decode` (`Network`), built as `Class(config)`
from a config of its own. Ours is an `Autoencoder` itself, yours is made one (`vae.model.theirs`): everything
else in this package knows an `Autoencoder` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vae.config import NetworkConfig

LOGVAR_BOUND = 10.0
NO_TERMS: Mapping[str, Tensor] = MappingProxyType({})


class Forward(NamedTuple):
    """recon (B, 3, H, W) in the network's range; mu, logvar (B, latent_dim). All float32.

    raw_logvar is what the encoder gave before `logvar_bound`.
    """

    recon: Tensor
    mu: Tensor
    logvar: Tensor
    raw_logvar: Tensor


class Network(Protocol):
    """The methods of a network of yours. x is (B, 3, H, W) in the range that `output_range` names.

    A third one is optional: `extra_loss(x, output)`, with the forward pass `output` (a `Forward`), returns
    what the loss has besides, a scalar or several by name; averaged over the batch, as the rest of it.
    """

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x -> mu and log-variance of the latents, both (B, ...) of any shape."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Latents, of the shape that `encode` gives -> (B, 3, H, W)."""
        ...


class Autoencoder(nn.Module, ABC):
    """q(z|x) = N(mu, exp(logvar)); a latent is z = mu + exp(logvar / 2) * noise (Kingma and Welling 2014).

    Latents are vectors here, (B, latent_dim), whatever shape they have inside.
    """

    config: NetworkConfig
    latent_dim: int

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in the network's range -> mu and raw log-variance, each (B, latent_dim)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, 3, H, W)."""

    def extra_loss(self, x: Tensor, output: Forward) -> Mapping[str, Tensor]:
        """What the loss has besides likelihood and KL: scalars by name, averaged over the batch."""
        return NO_TERMS

    def at_step(self, seed: int, step: int) -> None:
        """Called before a step of the run of that seed, for a network that draws random numbers."""

    def forward(self, x: Tensor, noise: Tensor) -> Forward:
        """x (B, 3, H, W) in the network's range, noise (B, latent_dim) standard normal.

        The latent is sampled in float32 even under autocast: exp(logvar / 2) is where runs blow up, and a
        lower precision there would move the border that is to be measured.
        """
        mu, raw = self.encode(x)
        mu, raw = mu.float(), raw.float()
        logvar = bound_logvar(raw, self.config.logvar_bound)
        z = mu + torch.exp(0.5 * logvar) * noise
        return Forward(self.decode(z).float(), mu, logvar, raw)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of its convolutions, in which its inputs should be too."""
        kernel = next((p for p in self.parameters() if p.ndim == 4), None)
        channels_last = kernel is not None and kernel.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if channels_last else torch.contiguous_format

    def trained(self) -> list[nn.Parameter]:
        """The parameters that are not frozen."""
        return [p for p in self.parameters() if p.requires_grad]

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def bound_logvar(logvar: Tensor, kind: str) -> Tensor:
    """`none`, `clamp` to +-10 (no gradient beyond), or `soft`: 10 tanh(lv / 10)."""
    if kind == "clamp":
        return logvar.clamp(-LOGVAR_BOUND, LOGVAR_BOUND)
    if kind == "soft":
        return LOGVAR_BOUND * torch.tanh(logvar / LOGVAR_BOUND)
    return logvar
