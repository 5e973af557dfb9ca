"""Synthetic borders: where runs cross is known, so that what is found can be held against it."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.stats import norm

from sweep.border.link import Floats
from sweep.border.mapper import Point, Task, next_point


@dataclass(frozen=True)
class Synthetic:
    """b: the true border of every column; cells: of every column and seed; rough: spread of one run."""

    b: Floats
    cells: Floats
    rough: float = 0.0
    seed: int = 0

    def crosses(self, point: Point) -> bool:
        """The same run has the same end, as in training."""
        entropy = (self.seed, point.column, point.seed, round(-1e6 * point.x))
        spread = self.rough * np.random.default_rng(entropy).standard_normal()
        return bool(point.x > self.cells[point.column, point.seed] + spread)


def shape_of(kind: str, z: Floats, rng: np.random.Generator) -> Floats:
    middle = rng.uniform(-3.2, -2.2)
    if kind == "sloped":
        return np.asarray(middle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2) * (z - 0.5))
    if kind == "stepped":
        return np.asarray(middle + rng.uniform(0.4, 1.0) * (z > rng.uniform(0.2, 0.8)))
    if kind == "ragged":
        wave = 0.3 * np.sin(rng.uniform(2, 6) * z + rng.uniform(0, 6))
        return np.asarray(middle + wave + 0.1 * rng.standard_normal(len(z)))
    return np.full(len(z), middle)


def synthetic(kind: str, seed: int, columns: int = 4, seeds: int = 3) -> Synthetic:
    """One draw of a shape: flat, sloped, stepped or ragged, of random height, spread and seeds."""
    rng = np.random.default_rng(seed)
    b = shape_of(kind, np.linspace(0, 1, columns), rng)
    seed_sd, rough = rng.uniform(0.03, 0.2, 2)
    return Synthetic(b, b[:, None] + seed_sd * rng.standard_normal((columns, seeds)), float(rough), seed)


class Border(Protocol):
    def crosses(self, point: Point) -> bool: ...


def run_map(task: Task, truth: Border, workers: int = 1) -> list[Point]:
    """The mapper against a synthetic border, so many probes at once; the oldest ends first."""
    points: list[Point] = []
    while True:
        running = [i for i, point in enumerate(points) if point.crossed is None]
        proposal = next_point(task, points) if len(running) < workers else None
        if proposal is not None:
            points.append(proposal)
        elif running:
            points[running[0]] = replace(points[running[0]], crossed=truth.crosses(points[running[0]]))
        else:
            return points


@dataclass(frozen=True)
class Crossing:
    """A sloped border whose runs cross by chance, by how far they are above that of their column and seed.

    kind: probit (over 0.1 decades), wide (over 0.4), shared (a seed moves the border of all columns alike),
    islands (of the runs up to 0.9 decades below 45 % cross) or tail (half of those just below, 30 % down to
    one decade).
    """

    kind: str
    b: Floats
    cells: Floats
    seed: int

    @classmethod
    def drawn(cls, kind: str, seed: int, columns: int = 4, seeds: int = 3) -> "Crossing":
        rng = np.random.default_rng(seed)
        slope = rng.choice([-1, 1]) * rng.uniform(0, 0.8)
        b = rng.uniform(-3.2, -2.2) + slope * (np.linspace(0, 1, columns) - 0.5)
        own, common = (0.05, 0.15) if kind == "shared" else (0.1, 0.0)
        moved = common * rng.standard_normal(seeds)[None] + own * rng.standard_normal((columns, seeds))
        return cls(kind, b, b[:, None] + moved, seed)

    def probability(self, above: Floats) -> Floats:
        if self.kind == "islands":
            return np.where(above > 0, 0.98, np.where(above > -0.9, 0.45, 0.0))
        if self.kind == "tail":
            below = np.where(above > -1, 0.3 + 0.2 * np.exp(np.minimum(above, 0) / 0.1), 0.0)
            return np.where(above > 0, norm.cdf(above / 0.1), below)
        return np.asarray(norm.cdf(above / (0.4 if self.kind == "wide" else 0.1)))

    def crosses(self, point: Point) -> bool:
        entropy = (self.seed, point.column, point.seed, round(-1e6 * point.x))
        above = np.array(point.x - self.cells[point.column, point.seed])
        return bool(np.random.default_rng(entropy).random() < self.probability(above))

    @property
    def half(self) -> Floats:
        """The border: the highest x of each column below which fewer than half of the new seeds cross."""
        x, z = np.linspace(-2, 2, 4001), np.linspace(-3, 3, 61)
        spread = np.hypot(0.05, 0.15) if self.kind == "shared" else 0.1
        share = sum(w * self.probability(x - spread * at) for w, at in zip(norm.pdf(z), z, strict=True))
        return np.asarray(self.b + x[share < 0.5 * norm.pdf(z).sum()].max())
