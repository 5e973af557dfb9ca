"""Likelihoods of an image given its reconstruction, one module each, found by its name
(`objective.likelihood`).

To add one, write `vae/loss/likelihoods/<name>.py` with a subclass of `Likelihood` and a function `build()`
that returns an instance. What it must keep: `forward` returns a float32 scalar, the negative log likelihood
(up to a constant if it says so) summed over an image's values and averaged over the batch, differentiable in
the reconstruction; what it learns is a Parameter. If it makes sense in one range of pixel values only, the
module declares `NEEDS_OUTPUT_RANGE` (a value of `model.output_range`). One that is also to be measured by
importance sampling (`vae.quality.likelihood`) defines `log_density`.
"""

from collections.abc import Callable

from torch import Tensor, nn

from vae.config import ObjectiveConfig
from vae.names import LIKELIHOODS

LogDensity = Callable[[Tensor, Tensor], Tensor]
"""Reconstructions and images (..., 3, H, W), which broadcast, -> (...,) in float64, constants included."""


class Likelihood(nn.Module):
    discrete = False
    """Whether `log_density` gives probabilities of grey levels rather than densities."""

    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        """recon and x (B, 3, H, W) in the network's range -> scalar."""
        raise NotImplementedError

    def log_density(self, config: ObjectiveConfig, recon: Tensor, x: Tensor) -> LogDensity:
        """The log density of an image in the network's range, as a function of reconstruction and image.

        recon and x (N, 3, H, W): reconstructions of the images that are to be measured; a variance that is
        neither learned nor set is taken from them, one for all.

        Raises:
            ValueError: it is no density with this objective, or does not define one.
        """
        raise ValueError(f"objective.likelihood={config.likelihood} defines no log_density")


def build(config: ObjectiveConfig) -> Likelihood:
    likelihood: Likelihood = LIKELIHOODS.load(config.likelihood).build()
    return likelihood
