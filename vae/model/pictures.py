"""Originals, reconstructions and samples of a model, to look at."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae.model.pixels import normalise, to_uint8
from vae.model.protocol import Autoencoder


class Pictures(NamedTuple):
    """Each (N, 3, H, W) uint8 on the CPU; values that are not finite are black."""

    originals: Tensor
    reconstructions: Tensor
    samples: Tensor


@torch.no_grad()
def decode_samples(model: Autoencoder, noise: Tensor) -> Tensor:
    """Latents (N, latent_dim) from the prior -> (N, 3, H, W) uint8 on their device, in evaluation mode."""
    training = model.training
    model.eval()
    x = model.decode(noise).float()
    model.train(training)
    return to_uint8(x, model.config.output_range)


@torch.no_grad()
def take_pictures(model: Autoencoder, tiles: Tensor, noise: Tensor) -> Pictures:
    """tiles (N, 3, H, W) uint8; samples are decoded from noise (N, latent_dim), reconstructions from the
    posterior mean."""
    training = model.training
    model.eval()
    output = model(normalise(tiles, model.config.output_range, model.memory_format), torch.zeros_like(noise))
    model.train(training)
    reconstructions = to_uint8(output.recon, model.config.output_range)
    # One transfer for all of them.
    pictures = torch.cat([tiles, reconstructions, decode_samples(model, noise)]).cpu()
    return Pictures(*torch.split(pictures, len(tiles)))
