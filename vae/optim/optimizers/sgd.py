"""Gradient descent with momentum, fused.

The momentum starts as zeros, which gives the same first step, so that one that is skipped leaves it known.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from vae.config import OptimConfig
from vae.optim.optimizers import Preconditioner

UPDATE_DIRECTION = "trial_step"


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> SGD:
    optimizer = SGD(
        parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )
    for group in optimizer.param_groups if config.momentum else ():
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def preconditioner(
    optimizer: Optimizer, parameters: Sequence[Tensor], config: OptimConfig, lr: float
) -> Preconditioner:
    """torch's momentum sums gradients instead of averaging them: its edge is 2 (1 + m) / lr, that of the
    averaged form at lr / (1 - m)."""
    ones = [torch.ones_like(p) for p in parameters]
    return Preconditioner(ones, lr / (1 - config.momentum), config.momentum)
