"""An adapter for pythae's models: those whose encoder gives a Gaussian, such as VAE and BetaVAE.

    pip install -e '.[benchmark]'
    python -m sweep run border_study --set model.kind=examples/networks/pythae_vae.py:PythaeVAE

Only pythae's networks are used: the loss, and all else that is measured, is that of every other network here.
They draw images in [0, 1], and this program's networks in [-1, 1].
"""

from typing import Any, Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from vae import NetworkConfig


class PythaeVAE(nn.Module):
    class Config(NetworkConfig):
        """networks: pythae's default layers, or those of its benchmarks, for tiles of 32 and of 64 px."""

        latent_dim: PositiveInt = 16
        networks: Literal["mlp", "cifar", "celeba"] = "mlp"

    def __init__(self, config: Config) -> None:
        super().__init__()
        from pythae.models import VAE, VAEConfig

        shape = (3, config.image_size, config.image_size)
        settings = VAEConfig(input_dim=shape, latent_dim=config.latent_dim)
        # To use another of pythae's models, build it here.
        self.network: Any = VAE(settings, **_networks(config.networks, settings))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network.encoder((x + 1) / 2)
        return found.embedding, found.log_covariance

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.network.decoder(z).reconstruction
        return 2 * x - 1


def _networks(name: str, settings: Any) -> dict[str, nn.Module]:
    """Encoder and decoder; none for the default ones."""
    if name == "mlp":
        return {}
    if name == "cifar":
        from pythae.models.nn.benchmarks.cifar import Decoder_Conv_AE_CIFAR, Encoder_Conv_VAE_CIFAR

        return {"encoder": Encoder_Conv_VAE_CIFAR(settings), "decoder": Decoder_Conv_AE_CIFAR(settings)}
    from pythae.models.nn.benchmarks.celeba import Decoder_Conv_AE_CELEBA, Encoder_Conv_VAE_CELEBA

    return {"encoder": Encoder_Conv_VAE_CELEBA(settings), "decoder": Decoder_Conv_AE_CELEBA(settings)}
