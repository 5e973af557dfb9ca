"""Modules with networks of someone else's, for tests: as text, since a file is what `model.kind` names."""

from pathlib import Path
from typing import Any

GOOD = '''
import torch
from pydantic import PositiveInt
from torch import nn

from vae import NetworkConfig


class Net(nn.Module):
    """Latents (code, 8, 8) of 32 px; dropout; a frozen and an unused layer; a loss of its own."""

    class Config(NetworkConfig):
        channels: PositiveInt = 8
        code: PositiveInt = 2
        dropout: float = 0.1
        weight: float = 0.0

    def __init__(self, config):
        super().__init__()
        c, self.weight = config.channels, config.weight
        self.stem = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.unused = nn.Linear(2, 2)
        self.down = nn.Sequential(
            nn.Conv2d(3, c, 4, 2, 1),
            nn.BatchNorm2d(c),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Conv2d(c, 2 * config.code, 4, 2, 1),
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(config.code, c, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(c, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def encode(self, x):
        mu, logvar = self.down(self.stem(x)).chunk(2, 1)
        return mu, logvar

    def decode(self, z):
        return self.up(z)

    def extra_loss(self, x, output):
        return {"edges": self.weight * (x - output.recon).diff(dim=-1).square().flatten(1).sum(1).mean()}
'''


def write(folder: Path, text: str = GOOD, name: str = "mine.py") -> str:
    """The kind of the class Net in a new file with this text."""
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return f"{folder / name}:Net"


def model(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "image_size": 32} | fields
