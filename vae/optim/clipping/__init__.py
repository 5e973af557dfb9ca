"""Clipping policies, one module each, found by its name (`optim.clip`).

To add one, write `vae/optim/clipping/<name>.py` with a class `Policy` that subclasses `ClippingPolicy`.
What it must keep: it changes gradients only, in place; it is handed the norm before clipping and does
not compute it again; it says whether it acted; all that it learns is in `state_dict()`.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor

    from vae.config import OptimConfig

NAMES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


class ClippingPolicy(ABC):
    """Stateless unless it says otherwise."""

    def __init__(self, config: "OptimConfig", clip_norm: float | None) -> None:
        """`clip_norm`: the absolute bound; `vae.training.clip_unit` has resolved a relative one."""
        self.config, self.clip_norm = config, clip_norm

    @abstractmethod
    def clip(self, parameters: "Sequence[Tensor]", grad_norm: "Tensor") -> "Tensor":
        """Clip the gradients in place; `grad_norm` is their global L2 norm before.

        Returns a boolean scalar tensor: whether the policy acted.
        """

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__module__} keeps no state, but the checkpoint holds {set(state)}")


def gradients(parameters: "Sequence[Tensor]") -> "list[Tensor]":
    """The gradients that are there."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def scale_to(parameters: "Sequence[Tensor]", bound: float, grad_norm: "Tensor") -> None:
    """Scale the gradients to the global norm `bound` where `grad_norm` is larger; untouched otherwise.

    torch's own function divides by norm + 1e-6, so that it shrinks gradients that are short enough.
    """
    import torch

    torch._foreach_mul_(gradients(parameters), (bound / grad_norm).clamp(max=1.0))


def build(config: "OptimConfig", clip_norm: float | None) -> ClippingPolicy:
    module = importlib.import_module(f"{__name__}.{config.clip}")
    return cast(ClippingPolicy, module.Policy(config, clip_norm))
