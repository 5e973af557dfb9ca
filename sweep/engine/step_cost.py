"""What a training step costs, found without computing it: tensors that have shapes and no values."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from sweep.study import Plan
from vae.config import NetworkConfig
from vae.model.network import build_model

BYTES_A_WEIGHT = 20
"""Weight, gradient, two moments and a copy in float32."""
OF_ACTIVATIONS = 3.0
"""Gradients of activations and workspaces are as large again, and evaluation has batches of its own."""
OF_A_LANE = 256e6
"""Workspaces of cuBLAS and cuDNN for one stream, and the rest of a graph's pool."""


@dataclass(frozen=True)
class StepCost:
    """gflop: multiplications and additions, in billions. trial_bytes: on the GPU, about."""

    gflop: float
    trial_bytes: float


def step_cost(model: NetworkConfig, batch_size: int) -> StepCost:
    """Of one forward and backward pass of a batch, in float32."""
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        network = build_model(model, 0)
        x = torch.empty(batch_size, 3, model.image_size, model.image_size)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(x, torch.empty(batch_size, network.latent_dim))
            (output.recon.square().sum() + output.mu.sum() + output.logvar.sum()).backward()
        weights = sum(parameter.numel() for parameter in network.parameters())
    activations = OF_ACTIVATIONS * sum(saved.values())
    return StepCost(counter.get_total_flops() / 1e9, BYTES_A_WEIGHT * weights + activations + OF_A_LANE)


def largest_step(plan: Plan) -> StepCost:
    """The largest arithmetic and the largest memory among the plan's networks."""
    kinds = {(config.model, config.batch_size) for config in plan.configs()}
    costs = [step_cost(model, batch_size) for model, batch_size in kinds]
    return StepCost(max(cost.gflop for cost in costs), max(cost.trial_bytes for cost in costs))
