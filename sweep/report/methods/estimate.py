"""The difference of two means with its error: intervals, tests, power. On logarithms, so a ratio.

Welch's t (Welch 1947) where the samples are independent, the t of the differences where they are paired.
No bootstrap: at 3 seeds its 95 % intervals call 21 % of null differences real, at 5 still 13 %.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from sweep.store.intervals import LEVEL, MIN_SEEDS

ALPHA = 1 - LEVEL
MAX_SEEDS = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean difference, its standard error and degrees of freedom, from so many seeds (the fewer side)."""

    difference: float
    error: float
    freedom: float
    seeds: int

    @property
    def interval(self) -> tuple[float, float]:
        """Two-sided, at 95 %."""
        half = self.error * float(stats.t.ppf((1 + LEVEL) / 2, self.freedom))
        return self.difference - half, self.difference + half

    @property
    def p_none(self) -> float:
        """Two-sided p of "there is no difference"."""
        return min(1.0, 2 * self._tail(-abs(self.difference)))

    def p_at_least(self, effect: float) -> float:
        """Twice the one-sided p of "the difference is `effect` or more".

        Below .05 exactly where the upper end of the 95 % interval is below `effect`.
        """
        return min(1.0, 2 * self._tail(self.difference - effect))

    def _tail(self, distance: float) -> float:
        """P(T <= distance / error); without any spread the distance decides alone."""
        if self.error == 0:
            return 0.5 if distance == 0 else float(distance > 0)
        return float(stats.t.cdf(distance / self.error, self.freedom))

    def power(self, effect: float, alpha: float, seeds: int | None = None) -> float:
        """Probability that a true difference of `effect` is called positive, with so many seeds."""
        seeds = seeds or self.seeds
        freedom = self.freedom * (seeds - 1) / (self.seeds - 1)
        error = self.error * math.sqrt(self.seeds / seeds)
        if error == 0:
            return float(effect > 0)
        critical = float(stats.t.ppf(1 - alpha / 2, freedom))
        return float(1 - stats.nct.cdf(critical, freedom, effect / error))

    def detectable(self, alpha: float, power: float) -> float:
        """The smallest true difference that is called positive with this power."""
        if self.error == 0:
            return 0.0
        top = 10.0
        while self.power(top * self.error, alpha) < power:
            top *= 2
        root = optimize.brentq(lambda k: self.power(k * self.error, alpha) - power, 0.0, top, xtol=1e-4)
        return float(root) * self.error

    def seeds_needed(self, effect: float, alpha: float, power: float) -> int | None:
        """So many seeds see a true difference of `effect`; None: more than a thousand."""
        low, high = MIN_SEEDS - 1, MAX_SEEDS
        if self.power(effect, alpha, high) < power:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.power(effect, alpha, middle) >= power:
                high = middle
            else:
                low = middle
        return high


def welch(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """mean(first) - mean(second) of independent samples; None below three values a side."""
    if min(len(first), len(second)) < MIN_SEEDS:
        return None
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (first, second)]
    spread = sum(parts)
    if spread > 0:
        shares = [part**2 / (len(side) - 1) for part, side in zip(parts, (first, second), strict=True)]
        freedom = spread**2 / sum(shares)
    else:
        freedom = len(first) + len(second) - 2.0
    difference = float(np.mean(first) - np.mean(second))
    return Estimate(difference, math.sqrt(spread), freedom, min(len(first), len(second)))


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Mean of first - second over the seeds that both have; None below three of them."""
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < MIN_SEEDS:
        return None
    differences = [first[seed] - second[seed] for seed in seeds]
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(seeds))
    return Estimate(float(np.mean(differences)), error, len(seeds) - 1.0, len(seeds))


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p, each to be compared with the level of the whole family (Holm 1979)."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    adjusted = [1.0] * len(values)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, values[index] * (len(values) - rank)))
        adjusted[index] = least
    return adjusted
