"""A network that came by `model.kind`, made an `Autoencoder`; and whether it can be one, before any run."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vae.config import NetworkConfig
from vae.kinds import load_class, short
from vae.model.protocol import NO_TERMS, Autoencoder, Forward

SPREAD = 2654435761
"""Odd, so that seeds differ by more than steps do (Knuth's multiplier); a generator takes 32 bits."""
TINY = 2
"""Tiles of the batch that a network is tried on."""


class Theirs(Autoencoder):
    """The network is `network`; latents are flattened on their way out and shaped again on their way in.

    latent_shape: of one image's latents, as the network gives them.

    Raises:
        ValueError: it cannot be built, or the shapes that it gives do not fit; one sentence.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        network = _built(config)
        self.network: Any = network
        self._extra: Callable[[Tensor, Forward], Any] | None = getattr(network, "extra_loss", None)
        self._draws_from = 0
        self.latent_shape = _latent_shape(config, network)
        self.latent_dim = self.latent_shape.numel()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.network.encode(x)
        return mu.flatten(1), logvar.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.network.decode(z.view(len(z), *self.latent_shape))
        return x

    def extra_loss(self, x: Tensor, output: Forward) -> Mapping[str, Tensor]:
        if self._extra is None:
            return NO_TERMS
        with _drawing_from(self._draws_from, x.device):
            terms = self._extra(x, output)
        return terms if isinstance(terms, Mapping) else {"loss": terms}

    def at_step(self, seed: int, step: int) -> None:
        """What dropout and the like draw depends on the seed and the step alone, so that a resumed run, and a
        step that is looked at again, draw the same."""
        self._draws_from = (seed * SPREAD + step) % 2**32

    def forward(self, x: Tensor, noise: Tensor) -> Forward:
        with _drawing_from(self._draws_from if self.training else 0, x.device):
            return super().forward(x, noise)


def check_network(config: NetworkConfig) -> None:
    """One forward and backward pass of a tiny batch through a new network of this config.

    Raises:
        ValueError: the network cannot be trained here; one sentence.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Theirs(config)
        x = 2 * torch.rand(TINY, 3, config.image_size, config.image_size) - 1
        noise = torch.randn(TINY, model.latent_dim)
        model.train()
        output = _tried(config, "a forward pass", lambda: model(x, noise))
        extra = _tried(config, "extra_loss", lambda: model.extra_loss(x, output))
    for name, value in extra.items():
        if not isinstance(value, Tensor) or value.ndim:
            _refuse(config, f"extra_loss gives {_described(value)} as {name!r}: it must be a scalar tensor")
    values = {"encode": output.mu, "encode's log-variance": output.raw_logvar, "decode": output.recon}
    for name, value in (values | {f"extra_loss {name!r}": value for name, value in extra.items()}).items():
        if not value.isfinite().all():
            _refuse(config, f"at initialisation {name} gives values that are not finite (nan or infinite)")
    loss = output.recon.square().sum() + output.logvar.exp().sum() + sum(extra.values())
    if not loss.requires_grad:
        _refuse(config, "no parameter has any effect on what it gives: nothing can be trained")
    _tried(config, "its backward pass", loss.backward)


def _built(config: NetworkConfig) -> nn.Module:
    assert config.kind_sha256 is not None
    network = _tried(
        config, "its constructor", lambda: load_class(config.kind, str(config.kind_sha256))(config)
    )
    if not isinstance(network, nn.Module):
        _refuse(config, "it is no torch.nn.Module: make its class a subclass")
    return network


@torch.no_grad()
def _latent_shape(config: NetworkConfig, network: Any) -> torch.Size:
    """By a pass of zeros, in evaluation mode."""
    training = network.training
    network.eval()
    x = torch.zeros(TINY, 3, config.image_size, config.image_size)
    found = _tried(config, f"encode of tiles {tuple(x.shape)}", lambda: network.encode(x))
    if (
        not isinstance(found, tuple | list)
        or len(found) != 2
        or not all(isinstance(f, Tensor) for f in found)
    ):
        _refuse(
            config, f"encode gives {_described(found)}: it must return mu and the log-variance, two tensors"
        )
    mu, logvar = found
    if mu.shape != logvar.shape or mu.ndim < 2 or len(mu) != TINY:
        shapes = f"mu {tuple(mu.shape)} and log-variance {tuple(logvar.shape)}"
        _refuse(config, f"encode gives {shapes} for {TINY} tiles: both must be ({TINY}, ...), of one shape")
    recon = _tried(config, f"decode of latents {tuple(mu.shape)}", lambda: network.decode(mu))
    if not isinstance(recon, Tensor) or recon.shape != x.shape:
        _refuse(
            config, f"decode gives {_described(recon)} for tiles {tuple(x.shape)}: both must be of one shape"
        )
    network.train(training)
    return torch.Size(mu.shape[1:])


def _tried(config: NetworkConfig, what: str, work: Callable[[], Any]) -> Any:
    """Whatever a network raises is its author's to mend, and one sentence."""
    try:
        return work()
    except ValueError as error:
        if str(error).startswith(("model.kind=", "the file of model.kind=")):
            raise
        _refuse(config, f"{what} fails ({_last_line(error)})", error)
    except Exception as error:
        _refuse(config, f"{what} fails ({_last_line(error)})", error)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1].strip()}".removesuffix(": ")


def _refuse(config: NetworkConfig, why: str, cause: Exception | None = None) -> NoReturn:
    raise ValueError(f"model.kind={short(config.kind)}: {why}") from cause


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, tuple | list):
        return f"{len(value)} values" if len(value) != 2 else "two values that are not both tensors"
    return type(value).__name__


@contextlib.contextmanager
def _drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators are those of the seed inside, and as they were afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
