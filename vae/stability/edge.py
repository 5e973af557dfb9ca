"""What is measured of a run in training beside its steps: the edge of stability and the gradient's noise."""

from collections.abc import Sequence
from functools import partial

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
    alpha,
    critical_sharpness,
    edge_ratio_quadratic,
    undisturbed,
    update_direction,
)
from vae.stability.gradient_noise import gradient_snr, parts
from vae.stability.sharpness import batch_sharpness, preconditioned_sharpness, sharpness


class Edge:
    """Measures how far a model in training is from its edge of stability, always on the same batch and noise.

    batch (B, 3, H, W) uint8 and noise (B, latent_dim) on the model's device; others: further such pairs, of
    which batch sharpness is a mean, too. The KL weight is frozen, the precision float32. Nothing of the run
    is changed. The optimizer must be one whose module declares an `UPDATE_DIRECTION` (a config that measures
    the edge is refused otherwise).
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
        others: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> None:
        self.config, self.model, self.loss = config, model, loss.in_float32()
        self.optimizer, self.policy = optimizer, policy
        self.batch, self.noise, self.others = batch, noise, others
        self.parameters = [*model.trained(), *loss.parameters()]

    def measure(self, kl_weight: float, lr: float) -> dict[str, float]:
        """edge_ratio by both estimators and preconditioned_sharpness, each 1 at the edge; critical_sharpness
        and batch_sharpness; alpha; gradient_snr.

        A quantity that is not known is absent: preconditioned_sharpness for an optimizer whose module defines
        no `preconditioner`, and before the first step of one whose preconditioner is learnt; gradient_snr for
        batches of fewer than 8.

        Cost in forward-backward passes (`tests/benchmarks/curvature_cost.py`, depth 4, median and 95 %
        interval): edge_ratio 5.5 [5.3, 5.7] (two gradients and one Hessian-vector product),
        critical_sharpness 3.6 [3.3, 3.8] (a gradient and at most six forward passes), alpha 2.6 [2.6, 2.8],
        all together 53 [51, 64], most of it for preconditioned_sharpness, whose Lanczos iteration takes one
        product a step.
        """
        loss = self.loss_function(kl_weight)
        with undisturbed(self.model):
            gradients, u = self.next_update(loss, lr)
            slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
            critical = critical_sharpness(loss, self.parameters, u, lr, slope)
            batches = [(self.batch, self.noise), *self.others]
            measured = {
                "edge_ratio": edge_ratio_quadratic(loss, self.parameters, u, lr),
                "edge_ratio_line_search": lr * critical / 2,
                "critical_sharpness": critical,
                "alpha": alpha(loss, self.parameters, u, lr, slope),
                "batch_sharpness": batch_sharpness(self._losses(kl_weight, batches), self.parameters),
            }
            if drawn := parts(self.batch, self.noise):
                measured["gradient_snr"] = gradient_snr(self._losses(kl_weight, drawn), self.parameters)
            found = optimizers.preconditioner(self.config, self.optimizer, self.parameters, lr)
            if found:
                diagonal, averaged_lr, beta1 = found
                measured["preconditioned_sharpness"] = preconditioned_sharpness(
                    loss, self.parameters, diagonal, averaged_lr, beta1
                )
        return measured

    def sharpness(self, kl_weight: float) -> float:
        """The largest eigenvalue of the loss's Hessian; nan if it is not found. Dear as `measure`."""
        with undisturbed(self.model):
            return sharpness(self.loss_function(kl_weight), self.parameters)

    def ratio(self, kl_weight: float, lr: float) -> float:
        """`measure`'s edge_ratio alone, in six passes."""
        loss = self.loss_function(kl_weight)
        with undisturbed(self.model):
            _, u = self.next_update(loss, lr)
            return edge_ratio_quadratic(loss, self.parameters, u, lr)

    def loss_function(self, kl_weight: float) -> LossFunction:
        """The loss as a function of the weights alone."""
        return self._losses(kl_weight, [(self.batch, self.noise)])[0]

    def _losses(self, kl_weight: float, batches: Sequence[tuple[Tensor, Tensor]]) -> list[LossFunction]:
        def of(batch: Tensor, noise: Tensor) -> Tensor:
            self.model.at_step(0, 0)
            terms, _ = self.loss(self.model, batch, noise, kl_weight)
            return terms.loss

        return [partial(of, batch, noise) for batch, noise in batches]

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


def stable_adamw_rms(optimizer: Optimizer, parameters: Sequence[Tensor]) -> Tensor:
    """Largest over tensors of sqrt(mean(g^2 / max(v, eps^2))), a float32 scalar; call it after the step.

    v is Adam's second moment, bias-corrected, which this step's g has part in already: the RMS_t of
    StableAdamW (Wortsman et al. 2023, arXiv 2304.13013, where loss spikes follow values of 2.3 and more by
    1-8 steps, in the patch embedding of a vision transformer). A stationary gradient gives 1, and none can
    give more than 1 / sqrt(1 - beta2). nan for any optimizer but Adam and AdamW.
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
