"""diffusers' AutoencoderKL, the autoencoder of latent diffusion, with weights from scratch.

    pip install -e '.[diffusers]'
    python -m sweep run border_study --set model.kind=examples/networks/autoencoder_kl.py:KLAutoencoder

diffusers clamps the log-variance to -30 .. 20 by itself, and so does this.
"""

from typing import Any

from diffusers import AutoencoderKL
from pydantic import PositiveInt
from torch import Tensor, nn

from vae import NetworkConfig


class KLAutoencoder(nn.Module):
    class Config(NetworkConfig):
        """width: channels of the first level, which double up to four times as many at each halving.

        In eights, for the group norm.
        """

        width: PositiveInt = 16
        halvings: PositiveInt = 2
        layers: PositiveInt = 1
        latent_channels: PositiveInt = 4

    def __init__(self, config: Config) -> None:
        super().__init__()
        levels = config.halvings + 1
        self.network: Any = AutoencoderKL(
            block_out_channels=[config.width * 2 ** min(level, 2) for level in range(levels)],
            down_block_types=["DownEncoderBlock2D"] * levels,
            up_block_types=["UpDecoderBlock2D"] * levels,
            layers_per_block=config.layers,
            latent_channels=config.latent_channels,
            norm_num_groups=8,
            sample_size=config.image_size,
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.network.encode(x).latent_dist
        return posterior.mean, posterior.logvar

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.network.decode(z).sample
        return x
