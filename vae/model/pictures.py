"""Originals, reconstructions and samples of a model, to look at."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from vae.model.network import VAE
from vae.model.pixels import normalise, to_uint8

GAP = 2
"""Pixels between the tiles of a mosaic."""


class Pictures(NamedTuple):
    """Each (N, 3, H, W) uint8 on the CPU; values that are not finite are black."""

    originals: Tensor
    reconstructions: Tensor
    samples: Tensor


def mosaic(tiles: Tensor, columns: int) -> Tensor:
    """(N, 3, H, W) uint8, row by row, side by side on white: (3, rows * (H + 2) + 2, columns * (W + 2) + 2).

    A full grid is torchvision.utils.make_grid's, whose import every worker would wait 1.3 s for.
    """
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    blank = tiles.new_full((rows * columns - len(tiles), *tiles.shape[1:]), 255)
    framed = pad(torch.cat([tiles, blank]), (0, GAP, 0, GAP), value=255)
    grid = framed.view(rows, columns, *framed.shape[1:]).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return pad(grid, (GAP, 0, GAP, 0), value=255)


@torch.no_grad()
def decode_samples(model: VAE, noise: Tensor) -> Tensor:
    """Latents (N, latent_dim) from the prior -> (N, 3, H, W) uint8 on the CPU, in evaluation mode."""
    training = model.training
    model.eval()
    x = model.decoder(noise).float()
    model.train(training)
    return to_uint8(x, model.config.output_range).cpu()


@torch.no_grad()
def take_pictures(model: VAE, tiles: Tensor, noise: Tensor) -> Pictures:
    """tiles (N, 3, H, W) uint8; samples are decoded from noise (N, latent_dim), reconstructions from the
    posterior mean."""
    training = model.training
    model.eval()
    output = model(normalise(tiles, model.config.output_range, model.memory_format), torch.zeros_like(noise))
    model.train(training)
    reconstructions = to_uint8(output.recon, model.config.output_range).cpu()
    return Pictures(tiles.cpu(), reconstructions, decode_samples(model, noise))
