"""A metric and its floor, both with an interval, from half-samples of the tiles."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae.quality.metrics import Metric, check_tiles

LEVELS = (2.5, 97.5)


class Interval(NamedTuple):
    """A mean with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Measured(NamedTuple):
    """A metric of n tiles against n, at n / 2 of each, and the score of n / 2 real against n / 2 real tiles.

    value, low, high: mean and 95 % interval for the samples. floor, floor_low, floor_high: mean over the ways
    to halve the real tiles, and the range of 95 % of single halvings, in which one draw of a perfect sampler
    would be.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_low: float
    floor_high: float


def measure_metrics(
    real: Tensor, fake: Tensor, metrics: Mapping[str, Metric], *, seed: int, bootstrap: int
) -> dict[str, Measured]:
    """See `vae.quality.measure`; only the metrics that the tiles are large enough for."""
    check_tiles(real, fake)
    if bootstrap < 1:
        raise ValueError(f"bootstrap must be 1 or more, not {bootstrap}")
    rng = np.random.default_rng(seed)
    half = min(len(real), len(fake)) // 2
    real, fake = (x[_rows(rng, len(x), 2 * half).to(x.device)] for x in (real, fake))
    if half < 2:
        raise ValueError(f"there must be 4 tiles or more on each side, not {half}")
    draws = [(_rows(rng, 2 * half), _rows(rng, 2 * half, half)) for _ in range(bootstrap)]
    known: dict[object, tuple[Tensor, Tensor]] = {}
    measured = {}
    for name, metric in metrics.items():
        if real.shape[-1] < metric.min_size:
            continue
        if metric.features not in known:
            known[metric.features] = metric.features(real, fake, seed)
        real_rows, fake_rows = known[metric.features]
        values, floors = [], []
        for halves, drawn in draws:
            first, second = (real_rows[rows.to(real_rows.device)] for rows in torch.split(halves, half))
            values.append(metric.score(first, fake_rows[drawn.to(fake_rows.device)], seed))
            floors.append(metric.score(first, second, seed))
        measured[name] = Measured(*_summary(values), *_summary(floors))
    return measured


def bootstrap_mean(values: Tensor, *, seed: int = 0, bootstrap: int = 1000) -> Interval:
    """values (N,), one an image, such as PSNR: their mean and its percentile interval (Efron 1979)."""
    data = values.double().cpu().numpy()
    draws = np.random.default_rng(seed).integers(len(data), size=(bootstrap, len(data)))
    low, high = np.percentile(data[draws].mean(1), LEVELS)
    return Interval(float(data.mean()), float(low), float(high))


def _rows(rng: np.random.Generator, count: int, taken: int | None = None) -> Tensor:
    return torch.from_numpy(rng.permutation(count)[:taken])


def _summary(values: list[float]) -> tuple[float, float, float]:
    low, high = np.percentile(values, LEVELS)
    return float(np.mean(values)), float(low), float(high)
