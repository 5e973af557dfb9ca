"""Schedule-free AdamW (Defazio et al. 2024); meant for a constant learning rate."""

import importlib
from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from vae.config import OptimConfig
from vae.optim.optimizers import adam_settings

PACKAGE = "schedulefree"
UPDATE_DIRECTION = "trial_step"
SCALE_FREE = True


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> Optimizer:
    made: Optimizer = importlib.import_module(PACKAGE).AdamWScheduleFree(parameters, **adam_settings(config))
    return made
