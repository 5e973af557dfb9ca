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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sweep.border.gaussian_process import Posterior, Runs, infer, prior_sample
from sweep.border.link import Floats

FIRST_STRIDE = 0.5
"""Decades at a time, about, of a ladder that nothing is known for."""
PATIENCE = 5
"""Rungs in a row with the same outcome, after which a ladder takes two steps at a time, then four, ..."""
PARAMETER_POINTS = 32
TOLERANCE = 1e-6
PLACES = 6
"""Decimals of a proposed x: two ways to the same rung give the same number."""


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
    known = _with_expected_outcomes(task, points)
    ladder = _Ladders(task, known)
    running = {(point.column, point.seed) for point in points if point.crossed is None}
    cells = [(column, seed) for seed in task.seeds for column in range(len(task.z))]
    # A cell with a running probe last: what to do there depends on an outcome that is only expected.
    for cell in sorted(cells, key=lambda cell: cell in running):
        x = ladder.next_rung(*cell)
        if x is not None:
            return Point(*cell, round(x, PLACES))
    if running or ladder.model is None:
        return None
    return _refinement(task, known, ladder.model)


def posterior(task: Task, points: Sequence[Point], parameter_points: int = PARAMETER_POINTS) -> Posterior:
    """The posterior of the border, from the points whose outcome is known; there must be at least one."""
    cells = sorted({(p.column, p.seed) for p in points})
    index = {cell: i for i, cell in enumerate(cells)}
    runs = Runs(
        z=task.z[[column for column, _ in cells]],
        cell=np.array([index[p.column, p.seed] for p in points]),
        x=np.array([p.x - task.middle for p in points]),
        crossed=np.array([bool(p.crossed) for p in points]),
    )
    return infer(runs, prior_sample(parameter_points))


def _with_expected_outcomes(task: Task, points: Sequence[Point]) -> list[Point]:
    """Running points count as crossed above the border expected of the rest, and as stable below."""
    known = [point for point in points if point.crossed is not None]
    running = [point for point in points if point.crossed is None]
    if not running:
        return known
    if not known:  # ladders start above the border
        return [replace(point, crossed=True) for point in running]
    model = posterior(task, known)
    expected, _ = _expected_border(model, task)
    return known + [replace(p, crossed=p.x > expected[p.column] + task.middle) for p in running]


def _expected_border(model: Posterior, task: Task) -> tuple[Floats, Floats]:
    """Mean and standard deviation of b at every column, about the middle."""
    mean, covariance = model.border(task.z)
    return model.mixed(mean, np.einsum("pmm->pm", covariance))


class _Ladders:
    """The ladder of every cell, from the points and the border that is expected.

    Most rungs hang on the points alone, so the border is inferred for those that need it.
    """

    def __init__(self, task: Task, points: Sequence[Point]) -> None:
        self.task, self.points = task, points
        self.anything_stable = any(not point.crossed for point in points)

    @cached_property
    def model(self) -> Posterior | None:
        return posterior(self.task, self.points) if self.points else None

    @cached_property
    def expected(self) -> Floats | None:
        """The border of each column."""
        return None if self.model is None else _expected_border(self.model, self.task)[0] + self.task.middle

    def next_rung(self, column: int, seed: int) -> float | None:
        """None where the cell is done: a step wide, or at an end of the range."""
        task = self.task
        mine = [p for p in self.points if (p.column, p.seed) == (column, seed)]
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


def _refinement(task: Task, points: Sequence[Point], model: Posterior) -> Point | None:
    """At the column with the widest band, where a run says most about the border of its cell."""
    widths = half_widths(task, model)
    for column in (int(c) for c in np.argsort(-widths)):
        mine = [p for p in points if p.column == column]
        if widths[column] <= task.precision:
            return None
        # Outside the searched range there is nothing to refine.
        if {bool(p.crossed) for p in mine} == {True, False} and len(mine) < task.column_budget:
            best = _most_informative(task, model, points, column)
            if best is not None:
                return best
    return None


def half_widths(task: Task, model: Posterior) -> Floats:
    """Half-widths of the 90 % band of every column, in decades."""
    draws, _ = model.draw(task.z, 2000)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.asarray((high - low) / 2)


def _most_informative(task: Task, model: Posterior, points: Sequence[Point], column: int) -> Point | None:
    """Half a step between the candidates, and none twice; None where all were run."""
    x = np.arange(task.low, task.high + TOLERANCE, task.step / 2)
    cells = sorted({(p.column, p.seed) for p in points})
    best: tuple[float, Point] | None = None
    for index, (of, seed) in enumerate(cells):
        if of != column:
            continue
        taken = np.array([p.x for p in points if (p.column, p.seed) == (of, seed)])
        free = x[np.abs(x[:, None] - taken).min(1) > task.step / 4]
        if not len(free):
            continue
        gain = model.information(index, free - task.middle)
        at = int(np.argmax(gain))
        if best is None or gain[at] > best[0]:
            best = (float(gain[at]), Point(column, seed, round(float(free[at]), PLACES)))
    return None if best is None else best[1]
