"""Which probe next? A pure function of what was seen, what is running and what is asked.

1. The ladder. The first column and seed start at the top of the searched range and step down until a run
   is stable: runs above the border end within a few steps, stable ones cost the whole horizon. Every other
   column and seed starts 2.5 steps above the border that is expected there, and goes up if that is stable
   (less where runs above the border are no cheaper than those below).
   When a stable and a crossing run lie one step apart, one run more looks further below, for a border can be
   ragged: between rates that break training some do not, and a ladder from above ends at the first of those.
   Where that run crosses, the ladder goes on from there down to the next stable one. Then the cell (a column
   and a seed) is done.
2. Refinement where the band is widest, at the run that says most about its cell's border (BALD: Houlsby
   et al. 2011). Never per unit of cost: that hugs the cheap diverging side and does not find the border.

A running probe counts as the outcome that is expected of it, so that workers side by side work on
different cells, or on the next rung of a ladder. Nothing is remembered between calls: a crash loses nothing.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sweep.border.gaussian_process import MAX_SWEEPS, Posterior, Runs, infer, prior_sample
from sweep.border.link import Floats

FIRST_STRIDE = 0.5
"""Decades at a time, about, of a ladder that nothing is known for."""
PATIENCE = 5
"""Rungs in a row with the same outcome, after which a ladder takes two steps at a time, then four, ..."""
PARAMETER_POINTS = 32
QUICK_POINTS, QUICK_SWEEPS = 16, 12
"""Of an inference while probes run: it is a forecast that the next one to end makes obsolete, and on a fast
device all others wait for it. A fifth of the time. In three simulated studies with eight lanes its borders
lay 0.014 decades from those of the whole inference in the median, 0.06 in nine of ten, and once 1.1."""
TOLERANCE = 1e-6
PLACES = 6
"""Decimals of a proposed x: two ways to the same rung give the same number."""


Cell = tuple[int, int]
"""A column (its index) and a seed."""


@dataclass(frozen=True)
class Task:
    """One label's border over a plane, in units of the model: x in decades, z in [0, 1] an axis.

    z: (columns, axes). low, high: the searched range of x. step: of the ladder, in decades.
    precision: half-width of a column's 90 % band that is aimed at; column_budget: a column with so many runs
    is not refined further (the spread over a few seeds is a floor that no number of runs gets below).
    start_above: steps above the expected border at which a ladder starts. More where runs above end at once.
    look_below: decades below the ladder's stable run at which another one must be stable; 0: none is asked.
    """

    z: Floats
    seeds: tuple[int, ...]
    low: float
    high: float
    step: float = 0.125
    precision: float = 0.1
    column_budget: int = 30
    start_above: float = 2.5
    look_below: float = 0.0

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Point:
    """A run at x of a column (its index) and a seed; crossed is None while it is running."""

    column: int
    seed: int
    x: float
    crossed: bool | None = None


def next_point(task: Task, points: Sequence[Point]) -> Point | None:
    """The next probe; None where the border is known as well as was asked, or
    all that is left depends on running probes."""
    return next(next_points(task, points), None)


def next_points(task: Task, points: Sequence[Point]) -> Iterator[Point]:
    """The next probes, the most useful one first, that may run at once with those that run already.

    All come from one inference, so that workers who are free together do not wait for one each.
    """
    ladders = _Ladders(task, points)
    running = [point for point in points if point.crossed is None]
    while (point := ladders.next_point()) is not None:
        yield point
        running.append(point)
        ladders.expect(point)
    if ladders.model is not None:
        yield from _refinement(task, ladders.known, running, ladders.model)


def posterior(
    task: Task,
    points: Sequence[Point],
    parameter_points: int = PARAMETER_POINTS,
    sweeps: int = MAX_SWEEPS,
) -> Posterior:
    """The posterior of the border, from the points whose outcome is known; there must be at least one."""
    cells = sorted({(p.column, p.seed) for p in points})
    index = {cell: i for i, cell in enumerate(cells)}
    runs = Runs(
        z=task.z[[column for column, _ in cells]],
        cell=np.array([index[p.column, p.seed] for p in points]),
        x=np.array([p.x - task.middle for p in points]),
        crossed=np.array([bool(p.crossed) for p in points]),
    )
    return infer(runs, prior_sample(parameter_points), sweeps)


def _expected_border(model: Posterior, task: Task) -> tuple[Floats, Floats]:
    """Mean and standard deviation of b at every column, about the middle."""
    mean, covariance = model.border(task.z)
    return model.mixed(mean, np.einsum("pmm->pm", covariance))


class _Ladders:
    """The ladder of every cell, from the points and the border that is expected.

    A running point counts as crossed above that border, and as stable below. Most rungs hang on the points
    alone, so the border is inferred for those that need it.
    """

    def __init__(self, task: Task, points: Sequence[Point]) -> None:
        self.task = task
        self.known = [point for point in points if point.crossed is not None]
        self.points: list[Point] = []
        self.cells: dict[Cell, list[Point]] = {
            (column, seed): [] for seed in task.seeds for column in range(len(task.z))
        }
        self.running: Counter[Cell] = Counter()
        self.alone = all(point.crossed is not None for point in points)
        self.anything_stable = False
        for point in self.known:
            self._add(point)
        for point in points:
            if point.crossed is None:
                self.expect(point)

    def expect(self, point: Point) -> None:
        """Take a running point for what is expected of it."""
        self.running[point.column, point.seed] += 1
        # Where nothing is known yet, ladders have started above the border.
        crossed = self.expected is None or point.x > self.expected[point.column]
        self._add(replace(point, crossed=crossed))

    def _add(self, point: Point) -> None:
        self.points.append(point)
        self.cells[point.column, point.seed].append(point)
        self.anything_stable |= not point.crossed

    @cached_property
    def model(self) -> Posterior | None:
        if not self.known:
            return None
        if self.alone:
            return posterior(self.task, self.known)
        return posterior(self.task, self.known, QUICK_POINTS, QUICK_SWEEPS)

    @cached_property
    def expected(self) -> Floats | None:
        """The border of each column."""
        return None if self.model is None else _expected_border(self.model, self.task)[0] + self.task.middle

    def next_point(self) -> Point | None:
        """The next rung of a ladder, if one goes on; of those with most running points last: what to do there
        depends on outcomes that are only expected."""
        for cell in sorted(self.cells, key=self.running.__getitem__):
            x = self.next_rung(*cell)
            if x is not None:
                return Point(*cell, round(x, PLACES))
        return None

    def next_rung(self, column: int, seed: int) -> float | None:
        """None where the cell is done: a step wide, or at an end of the range."""
        task = self.task
        mine = self.cells[column, seed]
        if not mine:
            return self._start()[column] if self.anything_stable and self.expected is not None else task.high
        stable = max((p.x for p in mine if not p.crossed), default=None)
        crossed = min((p.x for p in mine if p.crossed and (stable is None or p.x > stable)), default=None)
        if crossed is None:
            assert stable is not None
            above = stable + self._stride(mine)
            return min(above, task.high) if stable < task.high - TOLERANCE else None
        if stable is None:
            below = crossed - self._stride(mine)
            if self.anything_stable and self.expected is not None:
                below = min(below, self._start()[column])
            return max(below, task.low) if crossed > task.low + TOLERANCE else None
        steps = round((crossed - stable) / task.step)
        return stable + (steps + 1) // 2 * task.step if steps > 1 else self._rung_below(mine, stable)

    def _rung_below(self, mine: Sequence[Point], stable: float) -> float | None:
        """The next rung of a cell whose highest border is bracketed; None if nothing below contradicts it."""
        task = self.task
        lowest = min(p.x for p in mine if p.crossed)
        if lowest < stable and not any(p.x < lowest for p in mine if not p.crossed):
            return max(lowest - task.step, task.low) if lowest > task.low + TOLERANCE else None
        look = stable - round(task.look_below / task.step) * task.step
        has_looked = any(p.x < look + TOLERANCE for p in mine)
        return None if has_looked or look < task.low or look >= stable else look

    def _start(self) -> list[float]:
        """On the lattice of rungs, 2.5 steps above what is expected of each column."""
        task = self.task
        assert self.expected is not None
        down = np.floor((task.high - self.expected) / task.step - task.start_above)
        return [float(x) for x in np.clip(task.high - down * task.step, task.low, task.high)]

    def _stride(self, mine: Sequence[Point]) -> float:
        if self.anything_stable:
            return float(2 ** (len(mine) // PATIENCE) * self.task.step)
        return max(1, int(FIRST_STRIDE / self.task.step + TOLERANCE)) * self.task.step


def _refinement(
    task: Task, known: Sequence[Point], running: Sequence[Point], model: Posterior
) -> Iterator[Point]:
    """At the columns with the widest bands, where a run says most about the border of its cell; a cell in
    which one runs already waits for it.
    """
    widths = half_widths(task, model)
    busy = {(point.column, point.seed) for point in running}
    pending = Counter(point.column for point in running)
    for column in (int(c) for c in np.argsort(-widths)):
        if widths[column] <= task.precision:
            return
        mine = [p for p in known if p.column == column]
        # Outside the searched range there is nothing to refine.
        if {bool(p.crossed) for p in mine} != {True, False}:
            continue
        # About what is missing: a band of independent runs would narrow with the root of their number.
        missing = math.ceil(len(mine) * ((widths[column] / task.precision) ** 2 - 1))
        left = min(missing, task.column_budget - len(mine)) - pending[column]
        if left > 0:
            yield from _most_informative(task, model, known, column, busy)[:left]


def half_widths(task: Task, model: Posterior) -> Floats:
    """Half-widths of the 90 % band of every column, in decades."""
    draws, _ = model.draw(task.z, 2000)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.asarray((high - low) / 2)


def _most_informative(
    task: Task, model: Posterior, known: Sequence[Point], column: int, busy: set[Cell]
) -> list[Point]:
    """The best run of each of the column's cells that is not busy, best first; half a step between the
    candidates, and none twice."""
    x = np.arange(task.low, task.high + TOLERANCE, task.step / 2)
    gains: list[tuple[float, Point]] = []
    for index, cell in enumerate(sorted({(p.column, p.seed) for p in known})):
        if cell[0] != column or cell in busy:
            continue
        taken = np.array([p.x for p in known if (p.column, p.seed) == cell])
        free = x[np.abs(x[:, None] - taken).min(1) > task.step / 4]
        if not len(free):
            continue
        gain = model.information(index, free - task.middle)
        at = int(np.argmax(gain))
        gains.append((float(gain[at]), Point(*cell, round(float(free[at]), PLACES))))
    return [point for _, point in sorted(gains, key=lambda pair: -pair[0])]
