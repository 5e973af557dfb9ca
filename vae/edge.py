"""The distances of a run in training from its edge of stability, measured on a fixed batch."""

import math

import torch
from torch import Tensor

from vae import clipping, optimizers
from vae.curvature import (
    Loss,
    edge_ratio_line_search,
    edge_ratio_quadratic,
    preconditioned_sharpness,
    undisturbed,
    update_direction,
)
from vae.train import TrainState, forward_loss


def measure_edge(
    state: TrainState, batch: Tensor, noise: Tensor, kl_weight: float, lr: float
) -> dict[str, float]:
    """edge_ratio by both estimators and preconditioned_sharpness at the state's weights; 1 is the edge.

    batch (B, 3, H, W) uint8 and noise (B, latent_dim) should be the same at every call; the KL weight is
    frozen, the precision float32. Nothing of the run is changed. nan where an optimizer has no such
    quantity (yet): the sharpness needs Adam's second moments or sgd.
    """
    parameters = state.parameters
    config = state.config.optim

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

    policy = state.policy.state_dict()
    with undisturbed(state.model):
        gradients = torch.autograd.grad(loss(), parameters)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
        # The true update direction is that of the clipped gradient.
        state.policy.clip(parameters, torch.nn.utils.get_total_norm(clipping.gradients(parameters)))
        state.policy.load_state_dict(policy)
        u = update_direction(state.optimizer, parameters, lr)
        slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
        quadratic = edge_ratio_quadratic(loss, parameters, u, lr)
        searched = edge_ratio_line_search(loss, parameters, u, lr, slope)
        sharpness = _sharpness(state, loss, lr, config.optimizer)
    return {
        "edge_ratio": quadratic,
        "edge_ratio_line_search": searched,
        "preconditioned_sharpness": sharpness,
    }


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
