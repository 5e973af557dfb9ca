"""Global-norm clipping (Pascanu et al. 2013): g * min(1, clip_norm / |g|)."""

from collections.abc import Sequence

from torch import Tensor

from vae.config import OptimConfig
from vae.optim.clipping import ClippingPolicy, scale_to


class Policy(ClippingPolicy):
    on_device = True

    def __init__(self, config: OptimConfig, clip_norm: float | None) -> None:
        if clip_norm is None:
            raise ValueError("the clipping policy 'norm' needs a clip_norm")
        super().__init__(config, clip_norm)
        self.max_norm = clip_norm

    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        scale_to(parameters, self.max_norm, grad_norm)
        return grad_norm > self.max_norm
