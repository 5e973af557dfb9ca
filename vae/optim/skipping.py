"""Skips a step whose gradient is not finite or too large, up to a limit of skips in a row.

With a fixed threshold alone a run can freeze forever: every step is skipped, nothing is learnt, and the next
gradient is as large as the last (openai/vdvae, issue 25). So after `SKIP_LIMIT` skips in a row the next
finite gradient is clipped to the threshold and used.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import gradients

SKIP_LIMIT = 5


class Decision(NamedTuple):
    skip: bool
    fatal: bool = False
    """Not finite, and the policy does not skip it (any more): the run is `nonfinite`."""
    rescaled: bool = False
    """The gradients were scaled to the threshold."""


class SkipPolicy:
    """Decides what to do with a gradient before it is clipped.

    `none` skips nothing, `nonfinite` gradients that are not finite, `threshold` also those whose norm exceeds
    `optim.skip_threshold`, which is absolute. `state_dict()` holds the skips in a row.
    """

    def __init__(self, config: OptimConfig) -> None:
        self.kind = config.skip
        self.threshold = config.skip_threshold if config.skip == "threshold" else None
        self._in_a_row = 0

    def decide(self, loss: float, grad_norm: float, parameters: Sequence[Tensor]) -> Decision:
        """Whether to skip the step; scales the gradients in place if the limit of skips is reached."""
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        too_large = finite and self.threshold is not None and grad_norm > self.threshold
        if finite and not too_large:
            self._in_a_row = 0
            return Decision(skip=False)
        if self.kind == "none":
            return Decision(skip=True, fatal=True)
        if self._in_a_row < SKIP_LIMIT:
            self._in_a_row += 1
            return Decision(skip=True)
        if not finite:
            return Decision(skip=True, fatal=True)
        assert self.threshold is not None
        self._in_a_row = 0
        for gradient in gradients(parameters):
            gradient.mul_(self.threshold / grad_norm)
        return Decision(skip=False, rescaled=True)

    def norm_now(self, grad_norm: Tensor, decision: Decision) -> Tensor:
        """The gradients' norm after `decide`, which may have scaled it to the threshold."""
        if decision.rescaled:
            assert self.threshold is not None
            return torch.full_like(grad_norm, self.threshold)
        return grad_norm

    def state_dict(self) -> dict[str, int]:
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._in_a_row = state["in_a_row"]
