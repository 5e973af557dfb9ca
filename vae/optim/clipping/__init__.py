"""Clipping policies, one module each, found by its name (`optim.clip`).

To add one, write `vae/optim/clipping/<name>.py` with a class `Policy` that subclasses `ClippingPolicy`.
What it must keep: it changes gradients only, in place; it is given the norm before clipping and does not
compute it again; it returns whether it acted; whatever it learns is in `state_dict()`. A policy that asks
for no value of a tensor and makes no decision in Python sets `on_device`: its steps then need no host. It is
also called for steps that are not taken, with a norm of nan, which must not enter what it learns; one that
does not set it is not called for these.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.names import CLIPPING


class ClippingPolicy(ABC):
    """Stateless unless a subclass says otherwise."""

    on_device = False

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        """clip_norm: the absolute bound; a relative one has been resolved by `vae.training.clip_unit`."""
        self.config, self.clip_norm = config, clip_norm

    @abstractmethod
    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        """Clip the gradients in place; grad_norm is their global L2 norm before clipping.

        Returns a boolean scalar tensor: whether the policy acted.
        """

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__module__} keeps no state, but the checkpoint holds {set(state)}")


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of the parameters that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def scale_to(parameters: Sequence[Tensor], bound: float | Tensor, grad_norm: Tensor) -> None:
    """Scale the gradients to the global norm `bound` if `grad_norm` is larger; leave them otherwise.

    bound: a number, or one on the device, which counts in the precision of the norm.

    torch's own function divides by norm + 1e-6, so it also shrinks gradients that are within the bound.
    """
    if isinstance(bound, Tensor):
        bound = bound.to(grad_norm.dtype).reshape(())
    factor = grad_norm.reciprocal() * bound  # as torch divides a number by a tensor
    torch._foreach_mul_(gradients(parameters), factor.clamp(max=1.0))


def build(config: OptimConfig, clip_norm: float | None) -> ClippingPolicy:
    policy: ClippingPolicy = CLIPPING.load(config.clip).Policy(config, clip_norm)
    return policy
