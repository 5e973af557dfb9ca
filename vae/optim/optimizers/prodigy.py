"""Prodigy (Mishchenko and Defazio 2024). `optim.lr` multiplies its own estimate, so 1 is its default."""

import importlib
from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from vae.config import OptimConfig
from vae.optim.optimizers import adam_settings

PACKAGE = "prodigyopt"
UPDATE_DIRECTION = "trial_step"
ONE_RATE = True


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> Optimizer:
    made: Optimizer = importlib.import_module(PACKAGE).Prodigy(parameters, **adam_settings(config))
    return made
