"""A permutation test within blocks: is one side worse than the other? For many data sets at once.

A block holds one value an arm; larger is worse, and infinity (a run that diverged) is the worst, with ties
among themselves. Where the sides do not differ, the arms of a contrast may change their labels within a
block, and the distribution of any statistic follows from the data.

The statistic is the mean over blocks of the share of pairs in which the run of the worse side is worse,
ties half, over its standard error: studentised, the test holds where one arm spreads more than the others
(Janssen 1997).
"""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 99_999
"""Labellings that are looked at beside the real one: all where there are no more, otherwise random ones."""
PRIOR = 0.25
"""Added to the sum of squares: that of one block whose sides are wholly apart, so that few blocks without any
spread between them do not count as many."""
CAP = 0.4
"""In a pair of arms a difference counts by its rank, up to this share of the blocks: a run that failed is
no more than a clear difference."""
_ROUNDING = 1e-9
_CHUNK = 4_000_000


def block_p(worse: Array, better: Array, draws: int = DRAWS) -> Array:
    """One-sided p (data sets,) of "the side `worse` is worse".

    worse, better: (data sets, blocks, arms of the side). Where one arm stands against one, a block says no
    more than which is worse, and signs alone need twice the blocks: there a block counts by the size of its
    difference. Random labellings come from a seed that depends on the sizes alone: the same data have the
    same p.
    """
    scores = _centred_shares(worse, better)
    if scores.shape[2] == 2:
        scores = scores * _weights(worse[:, :, 0], better[:, :, 0])[:, :, None]
    return _share_beyond(scores, draws)


def win_share(worse: Array, better: Array) -> Array:
    """Share of the pairs in which the run of `worse` is the worse one, ties half: over the last axis."""
    first, second = worse[..., :, None], better[..., None, :]
    return np.asarray(((first > second) + 0.5 * (first == second)).mean((-2, -1)))


def _centred_shares(worse: Array, better: Array) -> Array:
    """`win_share` - 1/2 under every labelling of a block (data sets, blocks, labellings); the first is the
    real one.

    A share is a rank sum: Wilcoxon's statistic in each block (van Elteren 1960).
    """
    side, other = worse.shape[2], better.shape[2]
    values = np.concatenate([worse, better], axis=2)
    rows = list(combinations(range(side + other), side))
    labels = np.zeros((len(rows), side + other))
    for row, chosen in enumerate(rows):
        labels[row, list(chosen)] = 1
    return np.asarray((_ranks(values) @ labels.T - side * (side + 1) / 2) / (side * other) - 0.5)


def _weights(worse: Array, better: Array) -> Array:
    """Of each block (data sets, blocks) of a pair: the rank of its difference, capped, as a share."""
    both = np.isinf(worse) & np.isinf(better)
    size = np.abs(np.where(both, 0.0, worse) - np.where(both, 0.0, better))
    most = CAP * size.shape[1]
    return np.asarray(np.minimum(_ranks(size), most) / most)


def _share_beyond(scores: Array, draws: int) -> Array:
    """Share (data sets,) of the labellings whose statistic is at least the real one, which is among them."""
    sets, blocks, kinds = scores.shape
    flat = scores.reshape(sets, blocks * kinds)
    statistic = _statistic(flat, _real(blocks, kinds))
    beyond, total = np.zeros(sets), 0
    for chosen in _labellings(blocks, kinds, draws, most=max(1, _CHUNK // max(sets, blocks * kinds))):
        beyond += (_statistic(flat, chosen) >= statistic - _ROUNDING).sum(1)
        total += chosen.shape[1]
    return beyond / total


def _statistic(scores: Array, chosen: Array) -> Array:
    """scores (data sets, blocks x kinds), chosen (blocks x kinds, n) of 0 and 1 -> (data sets, n)."""
    return np.asarray((scores @ chosen) / np.sqrt(scores**2 @ chosen + PRIOR))


def _real(blocks: int, kinds: int) -> Array:
    return _one_hot(np.zeros((1, blocks), np.int64), kinds)


def _labellings(blocks: int, kinds: int, draws: int, most: int) -> Iterator[Array]:
    """All labellings of the blocks, or random ones after the real one, at most `most` at once."""
    if kinds**blocks <= draws + 1:
        picks = np.array(list(product(range(kinds), repeat=blocks)))
    else:
        rng = np.random.default_rng([blocks, kinds])
        picks = rng.integers(0, kinds, (draws + 1, blocks))
        picks[0] = 0
    for start in range(0, len(picks), most):
        yield _one_hot(picks[start : start + most], kinds)


def _one_hot(picks: NDArray[np.int64], kinds: int) -> Array:
    """(n, blocks) of labellings -> (blocks x kinds, n)."""
    chosen = picks.T[:, None, :] == np.arange(kinds)[:, None]
    return np.asarray(chosen.reshape(-1, len(picks)), np.float64)


def _ranks(values: Array) -> Array:
    """Mid-ranks along the last axis; the smallest value has 1."""
    below = (values[..., :, None] > values[..., None, :]).sum(-1)
    upto = (values[..., :, None] >= values[..., None, :]).sum(-1)
    return np.asarray((below + upto + 1) / 2)
