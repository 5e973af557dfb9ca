"""Skips a step whose gradient is not finite or too large, up to a limit of skips in a row.

With a fixed threshold alone a run can freeze forever: every step is skipped, nothing is learnt, and the next
gradient is as large as the last (openai/vdvae, issue 25). So after `SKIP_LIMIT` skips in a row the next
finite gradient is clipped to the threshold and used.

Everything here is decided on the device, by masks: a host that asked for the loss would wait for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import gradients

SKIP_LIMIT = 5


class Decision(NamedTuple):
    """Boolean scalars on the device."""

    take: Tensor
    """The optimizer makes its step."""
    skipped: Tensor
    fatal: Tensor
    """Not finite, and the policy does not skip it (any more): the run is `nonfinite`."""
    rescaled: Tensor
    """The gradients were scaled to the threshold."""


class SkipPolicy:
    """Decides what to do with a gradient before it is clipped.

    `none` skips nothing, `nonfinite` gradients that are not finite, `threshold` also those whose norm exceeds
    `optim.skip_threshold`, which is absolute. `state_dict()` holds the skips in a row.
    """

    def __init__(self, config: OptimConfig, device: torch.device | str = "cpu") -> None:
        self.kind = config.skip
        self.threshold = config.skip_threshold if config.skip == "threshold" else None
        self._in_a_row = torch.zeros((), dtype=torch.int64, device=device)

    def decide(
        self, loss: Tensor, grad_norm: Tensor, parameters: Sequence[Tensor], alive: Tensor | None = None
    ) -> Decision:
        """Whether to take the step; scales the gradients in place if the limit of skips is reached.

        loss, grad_norm: scalars. alive: a boolean scalar; False for the steps after a fatal one, which are
        neither taken nor counted.
        """
        bad = ~(loss.isfinite() & grad_norm.isfinite())
        none = torch.zeros_like(bad)
        if self.kind == "none":
            return Decision(*_where_alive(alive, ~bad, none, bad, none))
        fatal = bad
        if self.threshold is not None:
            # In float64: the threshold is not rounded to the precision of the norm.
            bad = bad | (grad_norm.double() > self.threshold)
        exhausted = self._in_a_row >= SKIP_LIMIT
        skipped, fatal = bad & ~exhausted, fatal & exhausted
        rescaled = bad & exhausted & ~fatal
        decision = Decision(*_where_alive(alive, ~bad | rescaled, skipped, fatal, rescaled))
        if self.threshold is not None:
            factor = torch.where(decision.rescaled, self.threshold / grad_norm.double(), 1.0)
            for gradient in gradients(parameters):
                gradient.mul_(factor.to(gradient.dtype))
        # A fatal step, and what follows it, leaves the count as it is.
        count = torch.where(decision.skipped, self._in_a_row + 1, self._in_a_row)
        self._in_a_row.copy_(torch.where(decision.take, 0, count))
        return decision

    def norm_now(self, grad_norm: Tensor, decision: Decision) -> Tensor:
        """The gradients' norm after `decide`, which may have scaled it to the threshold."""
        if self.threshold is None:
            return grad_norm
        return torch.where(decision.rescaled, self.threshold, grad_norm)

    def state_dict(self) -> dict[str, int]:
        return {"in_a_row": int(self._in_a_row)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._in_a_row.fill_(state["in_a_row"])


def _where_alive(alive: Tensor | None, *masks: Tensor) -> Sequence[Tensor]:
    return masks if alive is None else [mask & alive for mask in masks]
