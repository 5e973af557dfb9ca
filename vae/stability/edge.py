"""The distances of a run in training from its edge of stability, measured on a fixed batch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae.optim import clipping, optimizers
from vae.stability.curvature import (
    Loss,
    edge_ratio_line_search,
    edge_ratio_quadratic,
    preconditioned_sharpness,
    undisturbed,
    update_direction,
)
from vae.training.step import TrainState, forward_loss


def measure_edge(
    state: TrainState, batch: Tensor, noise: Tensor, kl_weight: float, lr: float
) -> dict[str, float]:
    """edge_ratio by both estimators and preconditioned_sharpness at the state's weights; 1 is the edge.

    batch (B, 3, H, W) uint8 and noise (B, latent_dim) should be the same at every call; the KL weight is
    frozen, the precision float32. Nothing of the run is changed. nan where an optimizer has no such
    quantity (yet): the sharpness needs Adam's second moments or sgd.

    In forward-backward passes (`tests/benchmarks/curvature_cost.py`, depth 4, median and 95 % interval):
    edge_ratio 6.0 [5.8, 6.4] (two gradients and one Hessian-vector product), edge_ratio_line_search 3.7
    [3.6, 3.9] (a gradient and at most six forward passes), all three together 54 [48, 59], nearly all of
    it the sharpness, whose Lanczos iteration takes a product a step.
    """
    loss = fixed_loss(state, batch, noise, kl_weight)
    with undisturbed(state.model):
        gradients, u = next_update(state, loss, lr)
        slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
        quadratic = edge_ratio_quadratic(loss, state.parameters, u, lr)
        searched = edge_ratio_line_search(loss, state.parameters, u, lr, slope)
        sharpness = _sharpness(state, loss, lr, state.config.optim.optimizer)
    return {
        "edge_ratio": quadratic,
        "edge_ratio_line_search": searched,
        "preconditioned_sharpness": sharpness,
    }


def measure_edge_ratio(state: TrainState, batch: Tensor, noise: Tensor, kl_weight: float, lr: float) -> float:
    """`measure_edge`'s edge_ratio alone, in six passes."""
    loss = fixed_loss(state, batch, noise, kl_weight)
    with undisturbed(state.model):
        _, u = next_update(state, loss, lr)
        return edge_ratio_quadratic(loss, state.parameters, u, lr)


def fixed_loss(state: TrainState, batch: Tensor, noise: Tensor, kl_weight: float) -> Loss:
    """The state's loss as a function of its weights alone, in float32."""

    def loss() -> Tensor:
        terms, _ = forward_loss(
            state.model,
            batch,
            noise,
            kl_weight,
            likelihood=state.likelihood,
            objective=state.config.objective,
        )
        return terms.loss

    return loss


def next_update(state: TrainState, loss: Loss, lr: float) -> tuple[Sequence[Tensor], list[Tensor]]:
    """The gradient, and the direction (theta_after - theta_before) / lr of the step it would lead to."""
    parameters, policy = state.parameters, state.policy.state_dict()
    gradients = torch.autograd.grad(loss(), parameters)
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    # The true update direction is that of the clipped gradient.
    state.policy.clip(parameters, torch.nn.utils.get_total_norm(clipping.gradients(parameters)))
    state.policy.load_state_dict(policy)
    return gradients, update_direction(state.optimizer, parameters, lr)


def _sharpness(state: TrainState, loss: Loss, lr: float, kind: str) -> float:
    parameters, config = state.parameters, state.config.optim
    if kind == "sgd":
        # torch's momentum sums gradients instead of averaging them: its edge is 2 (1 + m) / lr, that of
        # the averaged form at lr / (1 - m).
        ones = [torch.ones_like(p) for p in parameters]
        rate = lr / (1 - config.momentum)
        return preconditioned_sharpness(loss, parameters, ones, rate, config.momentum)
    moments = optimizers.second_moments(state.optimizer, parameters)
    if moments is None or kind not in ("adam", "adamw"):
        return math.nan
    diagonal = [v.sqrt() + config.eps for v in moments]
    return preconditioned_sharpness(loss, parameters, diagonal, lr, config.beta1)
