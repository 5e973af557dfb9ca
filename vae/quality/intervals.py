"""A metric and its floor, both with an interval, from half-samples of the tiles."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from threading import Lock
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae.quality.metrics import Metric, check_tiles
from vae.quality.remembering import SETS, content_of

LEVELS = (2.5, 97.5)
MIN_GROUPS = 4
"""Fewer groups have hardly any halves: tiles are then drawn one by one."""
AT_ONCE = 64
"""Sub-samples that a GPU scores together, which bounds the memory that they take."""

Key = TypeVar("Key", bound=Hashable)


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
    halves, drawn = (torch.stack(rows).to(real.device) for rows in zip(*draws, strict=True))
    of_groups = None if groups is None else tuple(groups.tolist())
    floors = _floors((content_of(real), real.device, seed, bootstrap, len(fake), of_groups))
    known: dict[object, tuple[Tensor, Tensor]] = {}
    scores: dict[tuple[str, str], Tensor] = {}
    fitting = {name: metric for name, metric in metrics.items() if real.shape[-1] >= metric.min_size}
    for name, metric in fitting.items():
        if metric.features not in known:
            known[metric.features] = metric.features(real, fake, seed)
        real_rows, fake_rows = known[metric.features]
        first, second = torch.split(halves.to(real_rows.device), half, 1)
        scores[name, "value"] = _scores(metric, real_rows, fake_rows, first, drawn, seed)
        if metric not in floors:
            scores[name, "floor"] = _scores(metric, real_rows, real_rows, first, second, seed)
    found = {key: _summary(values) for key, values in on_host(scores).items()}
    measured = {}
    for name, metric in fitting.items():
        floor = floors.get(metric) or found[name, "floor"]
        floors.setdefault(metric, floor)
        measured[name] = Measured(*found[name, "value"], *floor)
    return measured


def _scores(metric: Metric, real: Tensor, fake: Tensor, rows: Tensor, others: Tensor, seed: int) -> Tensor:
    """The scores of sub-samples, (draws,); rows and others (draws, n) say which rows are in each."""
    rows, others = rows.to(real.device), others.to(fake.device)
    first = metric.score(real[rows[0]], fake[others[0]], seed)
    if isinstance(first, Tensor) and real.device.type != "cpu" and len(rows) > 1:
        return torch.cat([first[None], scores_at_once(metric, real, fake, rows[1:], others[1:], seed)])
    pairs = zip(rows[1:], others[1:], strict=True)
    rest = [metric.score(real[one], fake[other], seed) for one, other in pairs]
    return torch.tensor([float(score) for score in (first, *rest)], dtype=torch.float64)


def scores_at_once(
    metric: Metric, real: Tensor, fake: Tensor, rows: Tensor, others: Tensor, seed: int
) -> Tensor:
    """The same of a score that gives tensors: a few large kernels, in place of a few for every sub-sample."""
    parts = zip(torch.split(rows, AT_ONCE), torch.split(others, AT_ONCE), strict=True)

    def score(one: Tensor, other: Tensor) -> Tensor:
        found = metric.score(one, other, seed)
        assert isinstance(found, Tensor)
        return found

    score_all = torch.vmap(score, randomness="same")
    return torch.cat([score_all(real[one], fake[other]) for one, other in parts])


def on_host(parts: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Tensors (n,) as float64 on the CPU, in one transfer from each device that they are on."""
    found: dict[Key, Tensor] = {}
    for device in {part.device for part in parts.values()}:
        here = {key: part.double() for key, part in parts.items() if part.device == device}
        lengths = [len(part) for part in here.values()]
        found |= zip(here, torch.split(torch.cat(list(here.values())).cpu(), lengths), strict=True)
    return found


Floors = WeakKeyDictionary[Metric, tuple[float, float, float]]
# Weak, because a metric may be made anew for every run and hold its tiles.
_known_floors: OrderedDict[object, Floors] = OrderedDict()
_lock = Lock()


def _floors(key: object) -> Floors:
    """The floors by metric of these real tiles, kept of the last few: the same in every run of a study."""
    with _lock:
        floors = _known_floors.setdefault(key, WeakKeyDictionary())
        _known_floors.move_to_end(key)
        while len(_known_floors) > SETS:
            _known_floors.popitem(last=False)
        return floors


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


def _summary(scores: Tensor) -> tuple[float, float, float]:
    values = scores.numpy()
    low, high = np.percentile(values, LEVELS)
    return float(np.mean(values)), float(low), float(high)
