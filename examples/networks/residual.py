"""A residual VAE whose latent code is a grid: few layers, skip connections, group norm.

    python -m sweep run border_study --set model.kind=examples/networks/residual.py:ResidualVAE

Two halvings of the grid make latents of (latent_channels, image_size / 4, image_size / 4).
"""

from pydantic import PositiveInt
from torch import Tensor, nn

from vae import NetworkConfig

HALVINGS = 2


class Block(nn.Module):
    """Two convolutions beside a skip connection. The second begins at zero, so a block begins as nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.GroupNorm(4, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


class ResidualVAE(nn.Module):
    class Config(NetworkConfig):
        """channels: in fours, for the group norm."""

        channels: PositiveInt = 32
        blocks: PositiveInt = 2
        latent_channels: PositiveInt = 4

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, code = config.channels, config.latent_channels
        down: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(code, width, 3, padding=1)]
        for _ in range(HALVINGS):
            down += [nn.Conv2d(width, width, 4, stride=2, padding=1), *self._blocks(config)]
            up += [*self._blocks(config), nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(width, 2 * code, 3, padding=1))
        self.decoder = nn.Sequential(*up, nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    @staticmethod
    def _blocks(config: Config) -> list[Block]:
        return [Block(config.channels) for _ in range(config.blocks)]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        x: Tensor = self.decoder(z)
        return x
