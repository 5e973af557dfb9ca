"""A metric and its floor, both with an interval, from half-samples of the tiles."""

from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae.quality.metrics import Metric, check_tiles, content_of

LEVELS = (2.5, 97.5)
MIN_GROUPS = 4
"""Fewer groups have hardly any halves: tiles are then drawn one by one."""


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
    real: Tensor,
    fake: Tensor,
    metrics: Mapping[str, Metric],
    *,
    seed: int,
    bootstrap: int,
    groups: Tensor | None = None,
) -> dict[str, Measured]:
    """See `vae.quality.measure`; only the metrics that the tiles are large enough for."""
    check_tiles(real, fake)
    if bootstrap < 1:
        raise ValueError(f"bootstrap must be 1 or more, not {bootstrap}")
    if groups is not None and (groups.shape != (len(real),) or groups.is_floating_point()):
        raise ValueError(
            f"groups must be one whole number for each of the {len(real)} real tiles, not "
            f"{groups.dtype} of shape {tuple(groups.shape)}"
        )
    rng = np.random.default_rng(seed)
    half = min(len(real), len(fake)) // 2
    kept, drawn = (_rows(rng, len(x), 2 * half) for x in (real, fake))
    real, fake = real[kept.to(real.device)], fake[drawn.to(fake.device)]
    groups = None if groups is None else groups.cpu()[kept]
    if half < 2:
        raise ValueError(f"there must be 4 tiles or more on each side, not {half}")
    draws = [(_order(rng, 2 * half, groups), _rows(rng, 2 * half, half)) for _ in range(bootstrap)]
    known: dict[object, tuple[Tensor, Tensor]] = {}
    of_groups = None if groups is None else tuple(groups.tolist())
    floors = _floors((content_of(real), seed, bootstrap, len(fake), of_groups))
    measured = {}
    for name, metric in metrics.items():
        if real.shape[-1] < metric.min_size:
            continue
        if metric.features not in known:
            known[metric.features] = metric.features(real, fake, seed)
        real_rows, fake_rows = known[metric.features]
        splits = [torch.split(halves.to(real_rows.device), half) for halves, _ in draws]
        values = [
            metric.score(real_rows[first], fake_rows[drawn.to(fake_rows.device)], seed)
            for (first, _), (_, drawn) in zip(splits, draws, strict=True)
        ]
        if metric not in floors:
            floors[metric] = _summary(
                [metric.score(real_rows[first], real_rows[second], seed) for first, second in splits]
            )
        measured[name] = Measured(*_summary(values), *floors[metric])
    return measured


# Weak, because a metric such as memorisation is made anew for every run and holds its tiles.
Floors = WeakKeyDictionary[Metric, tuple[float, float, float]]
_known_floors: dict[object, Floors] = {}


def _floors(key: object) -> Floors:
    """The floors by metric of the last set of real tiles: the same in every run of a study."""
    if key not in _known_floors:
        _known_floors.clear()
        _known_floors[key] = WeakKeyDictionary()
    return _known_floors[key]


def bootstrap_mean(
    values: Tensor, *, seed: int = 0, bootstrap: int = 1000, groups: Tensor | None = None
) -> Interval:
    """values (N,), one an image, such as PSNR: their mean and its percentile interval (Efron 1979).

    groups (N,): as in `vae.quality.measure`; whole groups are drawn, unless there are fewer than 4.
    """
    data = values.double().cpu().numpy()
    numbers = np.arange(len(data)) if groups is None else _numbers(groups)
    if numbers.max() + 1 < MIN_GROUPS:
        numbers = np.arange(len(data))
    sums, sizes = np.bincount(numbers, data), np.bincount(numbers)
    draws = np.random.default_rng(seed).integers(len(sums), size=(bootstrap, len(sums)))
    low, high = np.percentile(sums[draws].sum(1) / sizes[draws].sum(1), LEVELS)
    return Interval(float(data.mean()), float(low), float(high))


def _order(rng: np.random.Generator, count: int, groups: Tensor | None) -> Tensor:
    """A random order of the rows in which those of a group follow each other, so that a cut in the middle
    parts one group at most."""
    order = rng.permutation(count)
    if groups is None or len(places := rng.permutation(_numbers(groups).max() + 1)) < MIN_GROUPS:
        return torch.from_numpy(order)
    return torch.from_numpy(order[np.argsort(places[_numbers(groups)][order], kind="stable")])


def _numbers(groups: Tensor) -> NDArray[np.int64]:
    """(N,) from 0, without gaps."""
    return np.unique(groups.cpu().numpy(), return_inverse=True)[1].reshape(-1)


def _rows(rng: np.random.Generator, count: int, taken: int | None = None) -> Tensor:
    return torch.from_numpy(rng.permutation(count)[:taken])


def _summary(values: list[float]) -> tuple[float, float, float]:
    low, high = np.percentile(values, LEVELS)
    return float(np.mean(values)), float(low), float(high)
