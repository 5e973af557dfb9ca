"""ZClip (Kumar et al. 2025, arXiv 2504.02507): clip norms that lie far above their moving average.

z = (g - mu) / sigma with exponential moving averages of the norm and of its variance. If z exceeds the
threshold, the norm becomes mu + threshold^2 / z * sigma: the further out, the harder it is clipped (the
paper's reciprocal rule). There is no absolute cap. The averages take the clipped norm, and skip any norm that
is not finite.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import ClippingPolicy, scale_to

ALPHA = 0.97
WARMUP = 25


class Policy(ClippingPolicy):
    """`state_dict()` holds the norms of the warm-up, and after it the mean and variance."""

    on_device = True
    _warmup: Tensor
    """(WARMUP,) float64."""
    _count: Tensor
    """(1,) int64: norms of the warm-up so far."""
    _mean: Tensor
    """(1,) float64, as `_variance`; without meaning before the warm-up is over."""
    _variance: Tensor

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        super().__init__(config, clip_norm)
        self.load_state_dict({"warmup": [], "mean": None, "variance": None})

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        device = grad_norm.device
        self._warmup, self._count = self._warmup.to(device), self._count.to(device)
        self._mean, self._variance = self._mean.to(device), self._variance.to(device)
        norm, finite = grad_norm.double(), grad_norm.isfinite()
        warming = self._count < WARMUP
        bound = torch.where(finite & ~warming, self._bound(norm), torch.inf)
        scale_to(parameters, bound, grad_norm)
        acts = norm > bound
        self._follow(norm, bound, finite & ~warming)
        self._warm_up(norm, finite & warming)
        return (acts & finite)[0]

    def _bound(self, norm: Tensor) -> Tensor:
        sigma = self._variance.sqrt()
        excess, threshold = norm - self._mean, self.config.clip_zscore
        within = (sigma == 0) | (excess <= threshold * sigma)
        return torch.where(within, torch.inf, self._mean + threshold**2 * sigma * sigma / excess)

    def _follow(self, norm: Tensor, bound: Tensor, counts: Tensor) -> None:
        clipped = torch.minimum(norm, bound)
        mean = ALPHA * self._mean + (1 - ALPHA) * clipped
        variance = ALPHA * self._variance + (1 - ALPHA) * (clipped - mean).square()
        self._mean.copy_(torch.where(counts, mean, self._mean))
        self._variance.copy_(torch.where(counts, variance, self._variance))

    def _warm_up(self, norm: Tensor, counts: Tensor) -> None:
        place = self._count.clamp(max=WARMUP - 1)
        newest = torch.where(counts, norm, self._warmup.index_select(0, place))
        self._warmup.index_copy_(0, place, newest)
        self._count.add_(counts)
        done = counts & (self._count == WARMUP)
        self._mean.copy_(torch.where(done, self._warmup.mean(), self._mean))
        self._variance.copy_(torch.where(done, self._warmup.var(correction=0), self._variance))

    def state_dict(self) -> dict[str, Any]:
        count = int(self._count)
        if count < WARMUP:
            return {"warmup": self._warmup[:count].tolist(), "mean": None, "variance": None}
        return {"warmup": [], "mean": float(self._mean), "variance": float(self._variance)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        warmup, warm = state["warmup"], state["mean"] is not None
        self._warmup = torch.zeros(WARMUP, dtype=torch.float64)
        self._warmup[: len(warmup)] = torch.tensor(warmup, dtype=torch.float64)
        self._count = torch.tensor([WARMUP if warm else len(warmup)])
        self._mean = torch.tensor([state["mean"] or 0.0], dtype=torch.float64)
        self._variance = torch.tensor([state["variance"] or 0.0], dtype=torch.float64)
