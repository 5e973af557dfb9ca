"""Synthetic borders: where runs cross is known, so that what is found can be held against it."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sweep.border.gaussian_process import Floats
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
