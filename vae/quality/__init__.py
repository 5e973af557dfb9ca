"""Image quality without downloaded weights: samples against held-out real tiles, each metric with its floor.

    from vae.quality import measure
    for name, m in measure(held_out, samples).items():
        print(f"{name}: {m.value:.3f} [{m.low:.3f}, {m.high:.3f}], real against real {m.floor:.3f}")

How to add a metric: `vae.quality.metrics`. Reconstruction (`psnr`, `ssim`) and the latent code (`latent_use`)
are measured tile by tile and have no floor; `memorisation(train)` makes a metric, since it needs the training
tiles.
"""

from collections.abc import Mapping

from torch import Tensor

from vae.quality.intervals import Interval, Measured, bootstrap_mean, measure_metrics
from vae.quality.latent import LatentUse, latent_use
from vae.quality.memorisation import memorisation, nearest_distance
from vae.quality.metrics import Metric, load_metrics, of_each
from vae.quality.reconstruction import psnr, ssim

__all__ = [
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

METRICS: dict[str, Metric] = load_metrics()
"""Name -> function of (real, fake, seed) -> float, all tiles (N, 3, H, H) uint8, equal numbers."""


def measure(
    real: Tensor,
    fake: Tensor,
    *,
    seed: int = 0,
    bootstrap: int = 200,
    metrics: Mapping[str, Metric] | None = None,
    groups: Tensor | None = None,
) -> dict[str, Measured]:
    """Samples `fake` against held-out tiles `real`, each (N, 3, H, H) uint8; by default in all `METRICS`.

    Equal numbers n are taken, at random if one set is larger. `bootstrap` times the real tiles are halved at
    random and half of the samples are drawn: value is the mean of metric(first half, samples), floor that of
    metric(first half, second half), both at n / 2 against n / 2. Half-samples without replacement, because
    the copies in a bootstrap sample are each other's nearest neighbours, which biases density, coverage
    and KID; for a mean the spread of half-samples is the standard error of all n tiles. Metrics that need
    larger tiles are left out.

    groups: (N,) whole numbers, which real tiles belong together, such as neighbours on the ground. A half has
    whole groups (but for one), because tiles that look alike say less than as many independent ones: drawn
    one by one they would make intervals too narrow. Below 4 groups they are ignored.

    Raises:
        ValueError: fewer than 4 tiles on a side, or tiles or groups of another shape or type.
    """
    chosen = METRICS if metrics is None else metrics
    return measure_metrics(real, fake, chosen, seed=seed, bootstrap=bootstrap, groups=groups)
