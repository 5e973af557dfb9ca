"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), fused as Adam is."""

from collections.abc import Sequence

from torch import nn
from torch.optim import AdamW

from vae.config import OptimConfig
from vae.optim.optimizers import adam_settings
from vae.optim.optimizers.adam import preconditioner

__all__ = ["UPDATE_DIRECTION", "build", "preconditioner"]

UPDATE_DIRECTION = "trial_step"
SCALE_FREE = True


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> AdamW:
    return AdamW(parameters, **adam_settings(config), fused=True)
