"""Several things timed in turn, so that what else the machine does hits all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""`cpu`: processor seconds, which leave out what other processes take of the machine. For one thread only:
threads that wait for each other spin."""


class Middle(NamedTuple):
    """Median over rounds and its 95 % interval (order statistics; fewer than 6 rounds: their range)."""

    median: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high


def middle(values: list[float]) -> Middle:
    ordered, count = sorted(values), len(values)
    edge = max(0, round(count / 2 - 0.98 * count**0.5) - 1)
    return Middle(statistics.median(ordered), ordered[edge], ordered[-1 - edge])


def take_turns(
    works: Mapping[str, Callable[[], object]], rounds: int, clock: Clock, warm_up: bool = True
) -> dict[str, list[float]]:
    """Seconds of each, a round; every other round runs in reverse order. `warm_up`: an unmeasured round."""
    if warm_up:
        for work in works.values():
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works) if number % 2 == 0 else list(reversed(works))
        for name in names:
            began = clock()
            works[name]()
            seconds[name].append(clock() - began)
    return seconds


def ratios(above: list[float], below: list[float]) -> Middle:
    """Of the rounds' pairs."""
    return middle([a / b for a, b in zip(above, below, strict=True)])
