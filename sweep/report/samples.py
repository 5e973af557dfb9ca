"""Samples from a recorded trial's decoder."""

import math

import torch
from PIL import Image
from torchvision.utils import make_grid

from sweep.errors import UserError
from sweep.store.home import Home
from vae.config import ModelConfig
from vae.model.network import VAE
from vae.model.pictures import decode_samples
from vae.training import checkpoint

BATCH = 256


def load_model(home: Home, study: str, trial: int) -> VAE:
    """The selected weights of a trial, in evaluation mode.

    Raises:
        UserError: the trial left none here.
    """
    path = home.trial_folder(study, trial) / "model.pt"
    if not path.exists():
        raise UserError(f"trial {trial} of {study!r} left no weights in {path.parent}: choose another trial")
    try:
        saved = checkpoint.load(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    model = VAE(ModelConfig.model_validate(saved["model_config"]))
    model.load_state_dict(saved["weights"])
    return model.eval()


def draw(home: Home, study: str, trial: int, count: int, seed: int) -> Image.Image:
    """`count` samples from the prior, in a grid as square as it gets; the same seed, the same picture."""
    model = load_model(home, study, trial)
    noise = torch.randn(count, model.config.latent_dim, generator=torch.Generator().manual_seed(seed))
    images = torch.cat([decode_samples(model, part) for part in torch.split(noise, BATCH)])
    grid = make_grid(images, nrow=math.ceil(math.sqrt(count)), padding=2, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())
