"""AutoClip (Seetharaman et al. 2020): clip to a percentile of the gradient norms so far."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import ClippingPolicy, scale_to

HISTORY = 1000
"""Norms kept. The paper keeps all; a limit keeps checkpoints and sorting small in a long run."""


class Policy(ClippingPolicy):
    """`state_dict()` holds the history of finite norms, including the current one, oldest first."""

    on_device = True
    _norms: Tensor
    """(HISTORY,) float64, each finite norm in the place of the oldest; inf where there was none yet."""
    _count: Tensor
    """(1,) int64: finite norms so far."""

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        super().__init__(config, clip_norm)
        self.load_state_dict({"norms": []})

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        self._norms, self._count = self._norms.to(grad_norm.device), self._count.to(grad_norm.device)
        finite, place = grad_norm.isfinite(), self._count % HISTORY
        newest = torch.where(finite, grad_norm.double(), self._norms.index_select(0, place))
        self._norms.index_copy_(0, place, newest)
        self._count.add_(finite)
        bound = percentile(self._norms, self._count.clamp(max=HISTORY), self.config.clip_percentile)
        scale_to(parameters, bound, grad_norm)
        return grad_norm > bound.to(grad_norm.dtype)

    def state_dict(self) -> dict[str, Any]:
        count, norms = int(self._count), self._norms.tolist()
        start = count % HISTORY
        return {"norms": norms[:count] if count <= HISTORY else norms[start:] + norms[:start]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        norms = state["norms"]
        self._norms = torch.full((HISTORY,), torch.inf, dtype=torch.float64)
        self._norms[: len(norms)] = torch.tensor(norms, dtype=torch.float64)
        self._count = torch.tensor([len(norms)])


def percentile(values: Tensor, count: Tensor, percent: float) -> Tensor:
    """`numpy.percentile` of the `count` smallest of the values, a scalar; inf where there are none.

    values: (n,) float64; count: (1,) int64. To the last bit, and without a word to the host.
    """
    position = ((count.double() - 1) * (percent / 100)).clamp(min=0)
    low = position.floor()
    share = position - low
    ordered = values.sort().values
    a, b = (
        ordered.index_select(0, torch.minimum(at.long(), (count - 1).clamp(min=0))) for at in (low, low + 1)
    )
    step = b - a
    found = torch.where(share >= 0.5, b - step * (1 - share), a + step * share)
    return torch.where(count > 0, found, torch.inf)[0]
