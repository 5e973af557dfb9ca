"""How much the gradient norm varied over the last steps, for one step or for many at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW, MIN_WINDOW = 128, 16
TINY = float(np.finfo(float).tiny)


class Volatility(NamedTuple):
    """How much the gradient norm g varied over the last 128 steps; nan before 16 steps."""

    volatility: float
    """Standard deviation of the residuals of a straight line fitted to log g: scale-free, trend-free."""
    cv: float
    """std(g) / mean(g)."""
    jump: float
    """Mean of |log g_t - log g_(t-1)|."""


def _filled() -> NDArray[np.float64]:
    """(WINDOW + 1, WINDOW): 1 where a window of so many values has one, 0 before; values end at the right."""
    return (np.arange(WINDOW) >= WINDOW - np.arange(WINDOW + 1)[:, None]).astype(float)


def _times(filled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(WINDOW + 1, WINDOW): the steps of a window of so many values, with mean 0; 0 where it has none."""
    steps = np.arange(WINDOW) - (WINDOW - 1) + (np.arange(WINDOW + 1)[:, None] - 1) / 2
    return steps * filled


FILLED = _filled()
TIMES = _times(FILLED)
SQUARED_TIMES = np.square(TIMES).sum(axis=-1)
OFFSETS = np.arange(WINDOW)


class VolatilityWindow:
    """The gradient norms of the last 128 steps; `update_block` takes those of the next ones.

    What it returns does not depend on how a run is cut into blocks: each step has a row of its own, filled
    up with zeros to the length of the window, and every sum is that of one row.
    """

    def __init__(self, norms: Sequence[float] = ()) -> None:
        # Rows: norm, its logarithm and the latter's distance from the one before; the last value at the end.
        self._kept = np.zeros((3, WINDOW))
        self._count = 0
        self._take(norms)

    @property
    def norms(self) -> list[float]:
        """Those of the last steps, at most 128; the state from which a window can be made again."""
        values: list[float] = self._kept[0, WINDOW - self._count :].tolist()
        return values

    def update_block(self, norms: Sequence[float | None]) -> list[Volatility]:
        """Takes the gradient norms of consecutive steps, which are finite; returns what holds after each.

        None is a step that does not count: it has the measures of the one before. Memory: about 10 KiB a
        step, until it returns.
        """
        taken = [norm is not None for norm in norms]
        known = self._count
        extended = self._take([norm for norm in norms if norm is not None])
        ends = np.cumsum(taken, dtype=np.int64)
        windows = extended.take(ends[:, None] + OFFSETS, axis=1)
        return _measure(windows, np.minimum(known + ends, WINDOW))

    def now(self) -> Volatility:
        """What holds after the last step."""
        return self.update_block([None])[0]

    def _take(self, norms: Sequence[float]) -> NDArray[np.float64]:
        """(3, WINDOW + len(norms)): what was kept and what is new."""
        new = np.zeros((3, len(norms)))
        if len(norms):
            logs = [math.log(max(norm, TINY)) for norm in norms]
            new[0], new[1] = norms, logs
            before = [self._kept[1, -1] if self._count else logs[0], *logs[:-1]]
            np.abs(new[1] - before, out=new[2])
        extended = np.concatenate([self._kept, new], axis=1)
        self._kept = extended[:, -WINDOW:]
        self._count = min(self._count + len(norms), WINDOW)
        return extended


def _measure(windows: NDArray[np.float64], counts: NDArray[np.int64]) -> list[Volatility]:
    """windows: (3, steps, WINDOW), C-contiguous and changed; counts: (steps,), how many values a row has."""
    filled, times = FILLED[counts], TIMES[counts]
    windows[2, :, 0] = 0  # from a value before the window
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sums = windows.sum(axis=-1)
        means = sums / counts
        centred = (windows[:2] - means[:2, :, None]) * filled
        slopes = (times * centred[1]).sum(axis=-1) / SQUARED_TIMES[counts]
        centred[1] -= slopes[:, None] * times
        deviations = np.sqrt(np.square(centred).sum(axis=-1) / counts)
        measures = np.stack([deviations[1], deviations[0] / means[0], sums[2] / (counts - 1)], axis=-1)
    measures[counts < MIN_WINDOW] = np.nan
    return [Volatility(*row) for row in measures.tolist()]
