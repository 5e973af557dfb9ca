"""Likelihoods of an image given its reconstruction, one module each, found by its name
(`objective.likelihood`).

To add one, write `vae/loss/likelihoods/<name>.py` with a subclass of `Likelihood` and a function `build()`
that returns an instance. What it must keep: `forward` returns a float32 scalar, the negative log likelihood
(up to a constant if it says so) summed over an image's values and averaged over the batch, differentiable in
the reconstruction; what it learns is a Parameter. If it makes sense in one range of pixel values only, the
module declares `NEEDS_OUTPUT_RANGE` (a value of `model.output_range`).
"""

from torch import Tensor, nn

from vae.config import ObjectiveConfig
from vae.names import LIKELIHOODS


class Likelihood(nn.Module):
    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        """recon and x (B, 3, H, W) in the network's range -> scalar."""
        raise NotImplementedError


def build(config: ObjectiveConfig) -> Likelihood:
    likelihood: Likelihood = LIKELIHOODS.load(config.likelihood).build()
    return likelihood
