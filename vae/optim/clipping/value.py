"""Clip every gradient entry to [-clip_value, clip_value]."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, get_total_norm

from vae.optim.clipping import ClippingPolicy, gradients


class Policy(ClippingPolicy):
    on_device = True

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        bound = self.config.clip_value
        # The largest entry decides whether it acts; a norm of order infinity is one fused pass.
        acts = get_total_norm(gradients(parameters), norm_type=float("inf")) > bound
        clip_grad_value_(parameters, bound)
        return torch.as_tensor(acts)
