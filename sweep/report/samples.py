"""Samples from a recorded trial's decoder."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from sweep.errors import UserError
from sweep.store.home import Home
from vae.model.network import build_model
from vae.model.pictures import decode_samples
from vae.model.protocol import Autoencoder
from vae.model_config import network_config
from vae.training import checkpoint

BATCH = 256


def load_model(home: Home, study: str, trial: int) -> Autoencoder:
    """The selected weights of a trial, in evaluation mode.

    Raises:
        UserError: the trial left none here.
    """
    return model_of(load_saved(home, study, trial))


def load_saved(home: Home, study: str, trial: int) -> dict[str, Any]:
    """`model_config`, `weights`, and (not in older files) `likelihood`: what the likelihood learned.

    Raises:
        UserError: the trial left none here.
    """
    path = home.trial_folder(study, trial) / "model.pt"
    if not path.exists():
        raise UserError(f"trial {trial} of {study!r} left no weights in {path.parent}: choose another trial")
    try:
        return checkpoint.load(path)
    except ValueError as error:
        raise UserError(str(error)) from error


def model_of(saved: Mapping[str, Any]) -> Autoencoder:
    """In evaluation mode.

    Raises:
        UserError: its network is not there, or is another now.
    """
    try:
        model = build_model(network_config(saved["model_config"]), seed=0)
    except ValueError as error:
        raise UserError(str(error)) from error
    model.load_state_dict(saved["weights"])
    return model.eval()


def draw(home: Home, study: str, trial: int, count: int, seed: int) -> Image.Image:
    """`count` samples from the prior, in a grid as square as it gets; the same seed, the same picture."""
    images = draw_tiles(load_model(home, study, trial), count, seed)
    grid = make_grid(images, nrow=math.ceil(math.sqrt(count)), padding=2, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def draw_tiles(model: Autoencoder, count: int, seed: int) -> Tensor:
    """(count, 3, H, H) uint8; models of one latent size get the same latents from the same seed."""
    noise = torch.randn(count, model.latent_dim, generator=torch.Generator().manual_seed(seed))
    return torch.cat([decode_samples(model, part) for part in torch.split(noise, BATCH)])
