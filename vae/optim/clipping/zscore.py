"""ZClip (Kumar et al. 2025, arXiv 2504.02507): clip norms that lie far above their moving average.

z = (g - mu) / sigma with exponential moving averages of the norm and of its variance. If z exceeds the
threshold, the norm becomes mu + threshold^2 / z * sigma: the further out, the harder it is clipped (the
paper's reciprocal rule). There is no absolute cap. The averages take the clipped norm, and skip any norm that
is not finite.
"""

import math
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

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        super().__init__(config, clip_norm)
        self._state: dict[str, Any] = {"warmup": [], "mean": None, "variance": None}

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        norm = float(grad_norm)
        if not math.isfinite(norm):
            return torch.zeros((), dtype=torch.bool)
        state = self._state
        if state["mean"] is None:
            state["warmup"].append(norm)
            if len(state["warmup"]) == WARMUP:
                warmup = torch.tensor(state["warmup"], dtype=torch.float64)
                self._state = {
                    "warmup": [],
                    "mean": float(warmup.mean()),
                    "variance": float(warmup.var(correction=0)),
                }
            return torch.zeros((), dtype=torch.bool)
        bound = self._bound(norm)
        if norm > bound:
            scale_to(parameters, bound, grad_norm)
        clipped = min(norm, bound)
        state["mean"] = ALPHA * state["mean"] + (1 - ALPHA) * clipped
        state["variance"] = ALPHA * state["variance"] + (1 - ALPHA) * (clipped - state["mean"]) ** 2
        return torch.as_tensor(norm > bound)

    def _bound(self, norm: float) -> float:
        sigma = math.sqrt(self._state["variance"])
        excess = norm - self._state["mean"]
        threshold = self.config.clip_zscore
        if sigma == 0 or excess <= threshold * sigma:
            return math.inf
        return float(self._state["mean"] + threshold**2 * sigma * sigma / excess)

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state) | {"warmup": list(self._state["warmup"])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._state = dict(state) | {"warmup": list(state["warmup"])}
