"""Distances of a run in training from its edge of stability: on a fixed batch, and by its gradient alone."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from vae.config import OptimConfig
from vae.loss.loss import Loss
from vae.model.protocol import Autoencoder
from vae.optim import clipping, optimizers
from vae.optim.clipping import ClippingPolicy
from vae.optim.optimizers.adam import second_moments
from vae.stability.curvature import (
    LossFunction,
    edge_ratio_line_search,
    edge_ratio_quadratic,
    preconditioned_sharpness,
    undisturbed,
    update_direction,
)


class Edge:
    """Measures how far a model in training is from its edge of stability, always on the same batch and noise.

    batch (B, 3, H, W) uint8 and noise (B, latent_dim) on the model's device. The KL weight is frozen, the
    precision float32. Nothing of the run is changed. The optimizer must be one whose module declares an
    `UPDATE_DIRECTION` (a config that measures the edge is refused otherwise).
    """

    def __init__(
        self,
        config: OptimConfig,
        model: Autoencoder,
        loss: Loss,
        optimizer: Optimizer,
        policy: ClippingPolicy,
        batch: Tensor,
        noise: Tensor,
    ) -> None:
        self.config, self.model, self.loss = config, model, loss.in_float32()
        self.optimizer, self.policy = optimizer, policy
        self.batch, self.noise = batch, noise
        self.parameters = [*model.trained(), *loss.parameters()]

    def measure(self, kl_weight: float, lr: float) -> dict[str, float]:
        """edge_ratio by both estimators, and preconditioned_sharpness; each is 1 at the edge.

        The sharpness is absent for an optimizer whose module defines no `preconditioner`, and before the
        first step of one whose preconditioner is learnt.

        Cost in forward-backward passes (`tests/benchmarks/curvature_cost.py`, depth 4, median and 95 %
        interval): edge_ratio 6.0 [5.8, 6.4] (two gradients and one Hessian-vector product),
        edge_ratio_line_search 3.7 [3.6, 3.9] (a gradient and at most six forward passes), all three together
        54 [48, 59], nearly all of it for the sharpness, whose Lanczos iteration takes one product a step.
        """
        loss = self.loss_function(kl_weight)
        with undisturbed(self.model):
            gradients, u = self.next_update(loss, lr)
            slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
            measured = {
                "edge_ratio": edge_ratio_quadratic(loss, self.parameters, u, lr),
                "edge_ratio_line_search": edge_ratio_line_search(loss, self.parameters, u, lr, slope),
            }
            found = optimizers.preconditioner(self.config, self.optimizer, self.parameters, lr)
            if found:
                diagonal, averaged_lr, beta1 = found
                measured["preconditioned_sharpness"] = preconditioned_sharpness(
                    loss, self.parameters, diagonal, averaged_lr, beta1
                )
        return measured

    def ratio(self, kl_weight: float, lr: float) -> float:
        """`measure`'s edge_ratio alone, in six passes."""
        loss = self.loss_function(kl_weight)
        with undisturbed(self.model):
            _, u = self.next_update(loss, lr)
            return edge_ratio_quadratic(loss, self.parameters, u, lr)

    def loss_function(self, kl_weight: float) -> LossFunction:
        """The loss as a function of the weights alone."""

        def loss() -> Tensor:
            self.model.at_step(0, 0)
            terms, _ = self.loss(self.model, self.batch, self.noise, kl_weight)
            return terms.loss

        return loss

    def next_update(self, loss: LossFunction, lr: float) -> tuple[Sequence[Tensor], list[Tensor]]:
        """The gradient, and the direction (theta_after - theta_before) / lr of the step it would lead to."""
        policy = self.policy.state_dict()
        gradients = torch.autograd.grad(loss(), self.parameters, materialize_grads=True)
        for p, g in zip(self.parameters, gradients, strict=True):
            p.grad = g.clone()
        # The true update direction is that of the clipped gradient.
        norm = torch.nn.utils.get_total_norm(clipping.gradients(self.parameters))
        self.policy.clip(self.parameters, norm)
        self.policy.load_state_dict(policy)
        return gradients, update_direction(self.optimizer, self.parameters, lr)


def adam_rms(optimizer: Optimizer, parameters: Sequence[Tensor]) -> Tensor:
    """Largest over tensors of sqrt(mean(g^2 / max(v, eps^2))), a float32 scalar; call it before the step.

    v is Adam's second moment before this step, bias-corrected, so that a stationary gradient gives 1.
    Spikes follow large values by 1-8 steps (StableAdamW: Wortsman et al. 2023, arXiv 2304.13013). nan
    before the first step, and for any optimizer but Adam and AdamW.
    """
    moments = second_moments(optimizer, parameters)
    if moments is None:
        return torch.full((), torch.nan, device=parameters[0].device)
    floor = optimizer.param_groups[0]["eps"] ** 2
    ratios = [
        (p.grad.square() / v.clamp_min(floor)).mean()
        for p, v in zip(parameters, moments, strict=True)
        if p.grad is not None
    ]
    return torch.stack(ratios).max().sqrt()
