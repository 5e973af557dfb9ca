"""A permutation test within strata of several runs a side: is one side worse? For many data sets at once.

The statistic is Brunner and Munzel's (2000): the estimated probability that a run of one side is worse than
one of the other, over its standard error, here of the mean over strata. Studentised so, the permutation
test holds where the sides spread differently (Neubert and Brunner 2007), and it is exact where they do not.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Strata = Sequence[tuple[Array, Array]]
"""Of each stratum the values of both sides, (data sets, runs of the side); larger is worse, infinity the
worst."""

DRAWS = 19_999
"""Labellings that are looked at beside the real one: all where there are no more, otherwise random ones."""
_CHUNK = 4_000_000
_ROUNDING = 1e-9


def strata_p(strata: Strata, draws: int = DRAWS) -> Array:
    """One-sided p (data sets,) of "the first side is worse", by permuting labels within each stratum.

    Random labellings come from a seed that depends on the number of runs alone: the same data have the same
    p.
    """
    sizes = [(worse.shape[1], better.shape[1]) for worse, better in strata]
    exact = math.prod(math.comb(n + m, n) for n, m in sizes) <= draws + 1
    if exact:
        masks = [_all_labellings(n, m) for n, m in sizes]
        grids = np.meshgrid(*(np.arange(len(mask)) for mask in masks), indexing="ij")
        picks = [grid.ravel() for grid in grids]
    else:
        rng = np.random.default_rng([size for pair in sizes for size in pair])
        masks = [_random_labellings(n, m, draws, rng) for n, m in sizes]
        picks = [np.arange(draws + 1)] * len(sizes)
    largest = max(len(picks[0]), *((n + m) * len(mask) for (n, m), mask in zip(sizes, masks, strict=True)))
    step = max(1, _CHUNK // largest)
    sets = len(strata[0][0])
    parts = [
        _share_beyond([(x[s : s + step], y[s : s + step]) for x, y in strata], masks, picks)
        for s in range(0, sets, step)
    ]
    return np.concatenate(parts)


def stratum_shares(strata: Strata) -> Array:
    """P(worse) in each stratum, ties half: (data sets, strata)."""
    return np.stack([_wins(x, y).mean((1, 2)) for x, y in strata], axis=1)


def _share_beyond(strata: Strata, masks: list[Array], picks: list[NDArray[np.int64]]) -> Array:
    """Share of the labellings whose statistic is at least the real one, which is among them."""
    distance = variance = np.zeros((1, 1))
    for (worse, better), mask, pick in zip(strata, masks, picks, strict=True):
        d, v = _stratum(np.concatenate([worse, better], axis=1), mask)
        distance = distance + d[:, pick]
        variance = variance + v[:, pick]
    statistic = distance / np.sqrt(variance)
    beyond = statistic >= statistic[:, :1] - _ROUNDING
    return np.asarray(beyond.mean(1))


def _stratum(values: Array, mask: Array) -> tuple[Array, Array]:
    """P(worse) - 1/2 and its variance, (data sets, labellings); a row of `mask` has 1 for worse.

    A run's placement is the share of the other side's runs that it is worse than; the variance is that of the
    placements of both sides. Without any spread it would be nought; it is at least what half a pair would
    give.
    """
    first, second = mask.T, 1 - mask.T
    n, m = int(mask[0].sum()), int(second[:, 0].sum())
    wins = _wins(values, values)  # a run ties with itself
    ranks = wins.sum(2)
    distance = (ranks @ first - n * n / 2) / (n * m) - 0.5
    placed = wins @ second  # in the first side: times m; in the second: how often within its own side
    placed -= ranks[:, :, None] * second
    weight = first / (n * max(n - 1, 1) * m**2) + second / (m * max(m - 1, 1) * n**2)
    squares = np.einsum("dil,dil,il->dl", placed, placed, weight)
    means = (0.5 + distance) ** 2 / max(n - 1, 1) + (0.5 - distance) ** 2 / max(m - 1, 1)
    return distance, np.maximum(squares - means, 1 / (2 * n * m) ** 2)


def _wins(first: Array, second: Array) -> Array:
    x, y = first[:, :, None], second[:, None, :]
    return np.asarray((x > y) + 0.5 * (x == y))


def _all_labellings(n: int, m: int) -> Array:
    """Every way to call n of n + m runs worse, the real one first."""
    rows = list(combinations(range(n + m), n))
    mask = np.zeros((len(rows), n + m))
    for row, chosen in enumerate(rows):
        mask[row, list(chosen)] = 1
    return mask


def _random_labellings(n: int, m: int, draws: int, rng: np.random.Generator) -> Array:
    """The real labelling, then random ones."""
    real = np.r_[np.ones(n), np.zeros(m)]
    return np.concatenate([real[None], rng.permuted(np.tile(real, (draws, 1)), axis=1)])
