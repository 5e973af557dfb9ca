"""Gradient descent with momentum, fused."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from vae.config import OptimConfig
from vae.optim.optimizers import Preconditioner

UPDATE_DIRECTION = "trial_step"


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> SGD:
    return SGD(
        parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )


def preconditioner(
    optimizer: Optimizer, parameters: Sequence[Tensor], config: OptimConfig, lr: float
) -> Preconditioner:
    """torch's momentum sums gradients instead of averaging them: its edge is 2 (1 + m) / lr, that of the
    averaged form at lr / (1 - m)."""
    ones = [torch.ones_like(p) for p in parameters]
    return Preconditioner(ones, lr / (1 - config.momentum), config.momentum)
