"""Effect sizes for the reader, with 95 % intervals. No verdict depends on them."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sweep.evidence.finding import Effect, Interval
from sweep.evidence.permutation import win_share
from sweep.evidence.scale import Better, turned

Array = NDArray[np.float64]
Pairs = Mapping[int, tuple[Array, Array]]
"""Of each block (or column) the values of the worse and of the better side, as recorded."""
_NORMAL = 1.959964


def share_worse(pairs: Pairs, direction: Better, paired: bool) -> Interval | None:
    """The mean win share over blocks, with Wilson's interval (1927).

    It takes a block for one yes or no, which no share varies more than; in columns the runs of the smaller
    side take the place of blocks (Birnbaum and Klose 1957). So it is rather too wide than too narrow.
    """
    if not pairs:
        return None
    shares, count = [], 0
    for worse, better in pairs.values():
        first, second = turned(worse, better, direction)
        shares.append(float(win_share(first.values, second.values)))
        count += 1 if paired else min(len(worse), len(better))
    share = sum(shares) / len(shares)
    square = _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def effect(pairs: Pairs, paired: bool) -> Effect | None:
    """Ratio of geometric means, or difference of means, where every run of a block (or column) is finite.

    paired: the interval is of the mean over blocks (Student's t); otherwise of the mean over columns, each
    with its own seeds (Welch's). A ratio has all values positive.
    """
    whole = {key: pair for key, pair in pairs.items() if all(np.isfinite(side).all() for side in pair)}
    if not pairs:
        return None
    log = all((side > 0).all() for pair in whole.values() for side in pair)
    scaled = {key: tuple(np.log(side) if log else side for side in pair) for key, pair in whole.items()}
    shifts = {key: float(worse.mean() - better.mean()) for key, (worse, better) in scaled.items()}
    interval = None
    if shifts:
        mean = float(np.mean(list(shifts.values())))
        error, freedom = _block_error(shifts) if paired else _column_error(list(scaled.values()))
        half = _student(freedom) * error if freedom > 0 else None
        ends = (None, None) if half is None else (mean - half, mean + half)
        back = math.exp if log else float
        interval = Interval(back(mean), *(None if end is None else back(end) for end in ends))
    return Effect("ratio" if log else "difference", interval, shifts)


def _block_error(shifts: Mapping[int, float]) -> tuple[float, float]:
    """Standard error of the mean and its degrees of freedom; nought where there is one block."""
    if len(shifts) < 2:
        return 0.0, 0.0
    return float(np.std(list(shifts.values()), ddof=1)) / math.sqrt(len(shifts)), len(shifts) - 1.0


def _column_error(pairs: list[tuple[Array, ...]]) -> tuple[float, float]:
    """The same of the mean over columns, by Welch and Satterthwaite."""
    sides = [side for pair in pairs for side in pair]
    if min(map(len, sides)) < 2:
        return 0.0, 0.0
    parts = [float(np.var(side, ddof=1)) / len(side) / len(pairs) ** 2 for side in sides]
    total = sum(parts)
    shares = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    freedom = total**2 / shares if shares > 0 else sum(len(side) - 1.0 for side in sides)
    return math.sqrt(total), freedom


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
