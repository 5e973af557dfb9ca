"""Interleaved comparisons: ratios with a spread, because the machines are shared and noisy."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], float]


class Ratio(NamedTuple):
    """Of the seconds of `b` to those of `a`, a round: the median and its 95 % interval (order statistics)."""

    median: float
    low: float
    high: float
    seconds_a: float
    seconds_b: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interleave(
    a: Callable[[], object],
    b: Callable[[], object],
    rounds: int,
    *,
    clock: Clock = time.perf_counter,
    before: Callable[[], object] = lambda: None,
) -> Ratio:
    """Run both in turn, changing who goes first, after one unmeasured round each.

    `before` runs untimed at the start of each round. `time.process_time` as the clock leaves out what other
    processes take of the machine; with one thread it is the wall time of an idle one.
    """
    before()
    a(), b()
    pairs = []
    for number in range(rounds):
        before()
        first, second = (a, b) if number % 2 == 0 else (b, a)
        x, y = _seconds(first, clock), _seconds(second, clock)
        pairs.append((x, y) if number % 2 == 0 else (y, x))
    ratios = sorted(y / x for x, y in pairs)
    # For 10 rounds the 2nd and 9th values bound the median with 97.9 % confidence (binomial).
    edge = max(0, round(rounds / 2 - 0.98 * rounds**0.5) - 1)
    return Ratio(
        statistics.median(ratios),
        ratios[edge],
        ratios[-1 - edge],
        statistics.median(x for x, _ in pairs),
        statistics.median(y for _, y in pairs),
    )


def _seconds(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began
