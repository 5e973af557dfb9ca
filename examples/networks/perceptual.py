"""A perceptual loss beside the pixels': distances of ImageNet features, whose weights ship in a package.

    python -m sweep train --set model.kind=examples/networks/perceptual.py:PerceptualVAE

The features are those of the stem and of the first blocks of EfficientNet-Lite0, the network that the image
quality is measured with too. They are not trained, so they are no part of the module.
"""

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from vae import VAE, Forward, ModelConfig, NetworkConfig
from vae.quality.metrics._imagenet import feature_maps


class PerceptualVAE(nn.Module):
    """Our network, with a loss of its own."""

    class Config(NetworkConfig):
        """weight: of the perceptual loss, a sum over features as the pixels' is one over pixels."""

        base_channels: PositiveInt = 16
        latent_dim: PositiveInt = 32
        weight: NonNegativeFloat = 1.0
        maps: PositiveInt = 3

    def __init__(self, config: Config) -> None:
        super().__init__()
        ours = config.model_dump(exclude={"kind", "kind_sha256", "weight", "maps"})
        self.vae = VAE(ModelConfig.model_validate(ours))
        self.weight, self.maps = config.weight, config.maps

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.vae.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.vae.decode(z)

    def extra_loss(self, x: Tensor, output: Forward) -> dict[str, Tensor]:
        distance = x.new_zeros(())
        for real, drawn in zip(self._features(x), self._features(output.recon), strict=True):
            distance = distance + (real - drawn).square().flatten(1).sum(1).mean()
        return {"perceptual": self.weight * distance}

    def _features(self, x: Tensor) -> list[Tensor]:
        return feature_maps(x, self.maps)
