"""AutoClip (Seetharaman et al. 2020): clip to a percentile of the gradient norms so far."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import ClippingPolicy, scale_to

HISTORY = 1000
"""Norms kept. The paper keeps all; a limit keeps checkpoints and sorting small in a long run."""


class Policy(ClippingPolicy):
    """`state_dict()` holds the history of finite norms, including the current one, oldest first."""

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        super().__init__(config, clip_norm)
        self._norms: deque[float] = deque(maxlen=HISTORY)

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        norm = float(grad_norm)
        if np.isfinite(norm):
            self._norms.append(norm)
        if not self._norms:
            return torch.zeros((), dtype=torch.bool)
        bound = float(np.percentile(self._norms, self.config.clip_percentile))
        scale_to(parameters, bound, grad_norm)
        return grad_norm > bound

    def state_dict(self) -> dict[str, Any]:
        return {"norms": list(self._norms)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._norms = deque(state["norms"], maxlen=HISTORY)
