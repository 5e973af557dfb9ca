"""What to run next, by the plan's strategy: a pure function of the runs so far.

`mapper` proposes short probes, label after label; the others propose full-length runs over the whole range
in every column and seed, as anyone would without it, and each of their runs says something about all labels.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice, takewhile

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from sweep.border.mapper import Point, Task, next_points
from sweep.border.runs import PlacedRun, furthest, points_of
from sweep.study.border_plan import BorderPlan, Strategy
from vae.stability.labels import Horizon, Label, probe_horizon

FROM_ABOVE = {"blowup": 2.5, "nonfinite": 2.5, "useless": 0.5}
"""Steps above the expected border at which a ladder starts: runs that blow up end at once, but useless ones
cost as much as useful ones."""
LOOK_BELOW = {"blowup": 0.6, "nonfinite": 0.6, "useless": 0.0}
"""Decades below a ladder's end at which one more run must be stable. Without it the gaps of a ragged border
were taken for its end, up to a decade too high (clip norm 100 under SGD). Runs of useless are too dear."""
ORDER: tuple[Label, ...] = ("nonfinite", "useless", "blowup")
"""A run that is followed until it is not finite, or to its end, also shows whether it blew up."""
NEAR = 2.5
"""Steps below the border within which a full-length run verifies it."""


@dataclass(frozen=True)
class Proposal:
    """A run to be made: horizon None means full length."""

    column: int
    seed: int
    x: float
    label: Label
    horizon: Horizon

    @property
    def place(self) -> tuple[int, int, float]:
        """As that of a run (`sweep.border.runs.PlacedRun`)."""
        return self.column, self.seed, round(self.x, 6)


class ProbeChooser:
    """Chooses the runs of a plan.

    late: label -> of each column, how far the edge that its probes found is followed once more
        (`vae.stability.labels.late_horizon`).
    """

    def __init__(self, plan: BorderPlan, late: Mapping[Label, Sequence[int | None]]) -> None:
        self.plan, self.late = plan, late

    @property
    def labels(self) -> list[Label]:
        return [label for label in ORDER if label in self.plan.labels]

    def points(self, label: Label, runs: Sequence[PlacedRun]) -> list[Point]:
        return points_of(label, runs, probe_horizon(label))

    def next_probe(self, runs: Sequence[PlacedRun]) -> Proposal | None:
        """None where all is mapped, or what is left depends on runs that are under way."""
        return next(iter(self.next_probes(runs, 1)), None)

    def next_probes(self, runs: Sequence[PlacedRun], count: int) -> list[Proposal]:
        """Probes that may run at once, `count` at most, the most useful one first.

        Those of the first label come before those of the next, as they tell about it, too.
        """
        if self.plan.strategy != "mapper":
            return list(islice(self._of_sampler(runs), count))
        found: list[Proposal] = []
        for label in self.labels:
            points = _next_points(self.plan, label, tuple(self.points(label, runs))).first(count - len(found))
            horizon = probe_horizon(label)
            wanted = [Proposal(p.column, p.seed, p.x, label, horizon) for p in points]
            wanted = _new(wanted or self._late_checks(label, runs), runs)
            found += wanted[: count - len(found)]
            if len(found) == count:
                break
        return found

    def _late_checks(self, label: Label, runs: Sequence[PlacedRun]) -> list[Proposal]:
        """The edges of the seeds' ladders, followed further where runs are known to go late; one that goes
        sends its ladder further down.
        """
        runs = furthest(runs, label, probe_horizon(label))
        found = []
        for column, steps in enumerate(self.late[label]):
            mine = [run for run in runs if run.column == column]
            for seed, edge in sorted(self._edges(label, mine).items()) if steps else ():
                near = [run for run in mine if run.seed == seed and run.followed(steps, edge - self.reach)]
                if all(run.crossed(label, None) for run in near):
                    found.append(Proposal(column, seed, edge, label, steps))
        return found

    @property
    def reach(self) -> float:
        return NEAR * self.plan.step

    def next_verification(self, runs: Sequence[PlacedRun]) -> Proposal | None:
        return next(iter(self.next_verifications(runs, 1)), None)

    def next_verifications(self, runs: Sequence[PlacedRun], count: int) -> list[Proposal]:
        """Full-length runs where short ones say that the edge of stability is, `count` at most; none in a
        column while a probe of the label runs there, whose outcome may move the edge.

        They check the largest values that seeds' probes called stable; a column has `verify` such checks that
        held. Where one did not, every seed of the column is checked.
        """
        found: list[Proposal] = []
        for label in self.labels:
            decided = furthest(runs, label, probe_horizon(label))
            for column in range(len(self.plan.plane.columns)):
                mine = [run for run in decided if run.column == column]
                found += _new(self._verifications(label, mine), runs)
                if len(found) >= count:
                    return found[:count]
        return found

    def settled(self, label: Label, runs: Sequence[PlacedRun]) -> set[int]:
        """Columns whose border of the label is known and checked, as far as nothing that runs speaks against
        it; all of them where nothing runs."""
        columns = set(range(len(self.plan.plane.columns)))
        if all(run.observation is not None for run in runs):
            return columns
        decided = furthest(runs, label, probe_horizon(label))
        found = set()
        for column in columns:
            mine = [run for run in decided if run.column == column]
            busy = any(run.observation is None and run.label == label for run in mine)
            if not busy and len(self._edges(label, mine)) == len(self.plan.seeds):
                found |= {column} - {p.column for p in self._verifications(label, mine)}
        return found

    def _verifications(self, label: Label, column: Sequence[PlacedRun]) -> list[Proposal]:
        edges = self._edges(label, column)
        probing = any(r.observation is None and r.label == label and not r.is_check for r in column)
        if not edges or probing:
            return []
        under_way = {run.seed for run in column if run.observation is None and run.label == label}
        held = {
            run.seed
            for run in column
            if run.seed in edges
            and (run.is_whole or run.is_check)
            and run.x >= edges[run.seed] - self.reach
            and run.crossed(label, None) is False
        }
        failed = any(run.is_check and run.label == label and run.crossed(label, None) for run in column)
        wanted = len(edges) if failed else min(self.plan.verify, len(edges))
        # The seed that goes furthest is the likeliest to be wrong.
        open_seeds = sorted(edges.keys() - held - under_way, key=lambda seed: (-edges[seed], seed))
        missing = max(0, wanted - len(held | under_way))
        return [Proposal(column[0].column, seed, edges[seed], label, None) for seed in open_seeds[:missing]]

    def _edges(self, label: Label, column: Sequence[PlacedRun]) -> dict[int, float]:
        """Of each seed, the largest x that was called stable below one that crossed; its ladder's foot."""
        horizon = probe_horizon(label)
        seen = [(run.seed, run.x, run.crossed(label, horizon)) for run in column]
        highest: dict[int, float] = {}  # of those that crossed
        for seed, x, crossed in seen:
            if crossed:
                highest[seed] = max(highest.get(seed, -np.inf), x)
        edges: dict[int, float] = {}
        for seed, x, crossed in seen:
            if crossed is False and x < highest.get(seed, -np.inf):
                edges[seed] = max(edges.get(seed, -np.inf), x)
        return edges

    def _of_sampler(self, runs: Sequence[PlacedRun]) -> Iterator[Proposal]:
        """Seed after seed and column after column, so that what was begun is finished first."""
        cells: dict[tuple[int, int], list[PlacedRun]] = defaultdict(list)
        for run in runs:
            cells[run.column, run.seed].append(run)
        for seed in self.plan.seeds:
            for column in range(len(self.plan.plane.columns)):
                for x in of_sampler(self.plan, cells[column, seed], salt=1000 * seed + column):
                    yield Proposal(column, seed, x, "nonfinite", None)


def _new(proposals: Sequence[Proposal], runs: Sequence[PlacedRun]) -> list[Proposal]:
    """Those before the first that was made: it would have the same answer, and be proposed for ever."""
    asked = {(run.place, run.label, run.horizon) for run in runs} if proposals else set()
    return list(takewhile(lambda p: (p.place, p.label, p.horizon) not in asked, proposals))


def task_of(plan: BorderPlan, label: Label) -> Task:
    return Task(
        z=np.array([plan.plane.unit(column) for column in plan.plane.columns]),
        seeds=plan.seeds,
        low=plan.low,
        high=plan.high,
        step=plan.step,
        precision=plan.precision,
        column_budget=plan.cell_budget * len(plan.seeds),
        start_above=FROM_ABOVE[label],
        look_below=LOOK_BELOW[label],
    )


class _Asked:
    """Points as they are asked for, the first ones again without work."""

    def __init__(self, points: Iterator[Point]) -> None:
        self._points, self._known = points, list[Point]()

    def first(self, count: int) -> list[Point]:
        self._known += islice(self._points, max(0, count - len(self._known)))
        return self._known[:count]


@lru_cache(maxsize=64)
def _next_points(plan: BorderPlan, label: Label, points: tuple[Point, ...]) -> _Asked:
    """Asked again whenever a worker is free; a label whose runs are the same has the same answer."""
    return _Asked(next_points(task_of(plan, label), points))


def of_sampler(plan: BorderPlan, mine: Sequence[PlacedRun], salt: int) -> Iterator[float]:
    """The next values of x of one column and seed by grid, random, sobol or tpe, up to their share."""
    grid = tuple(float(x) for x in np.arange(plan.low, plan.high + 1e-9, plan.grid_step))
    total = len(grid) if plan.strategy == "grid" else plan.trials_a_column
    if len(mine) >= total:
        return
    if plan.strategy == "tpe":  # each of its trials hangs on those before it
        yield _of_tpe(plan, mine, salt + len(mine))
        return
    # Its first members that nobody has run.
    taken = np.array([run.x for run in mine])
    sequence = _sequence(plan.strategy, plan.low, plan.high, grid, total, salt)
    free = (x for x in sequence if not (np.abs(taken - x) <= 1e-9).any())
    yield from islice(free, total - len(mine))


def _of_tpe(plan: BorderPlan, mine: Sequence[PlacedRun], seed: int) -> float:
    space = _space(plan.low, plan.high)
    study = optuna.create_study(sampler=TPESampler(seed=seed, n_startup_trials=4))
    for run in mine:
        if run.observation is not None:
            loss = run.observation.recent_loss
            value = float("inf") if loss is None else loss
            study.add_trial(optuna.create_trial(params={"x": run.x}, distributions=space, value=value))
    return float(study.ask(space).params["x"])


@cache
def _sequence(
    strategy: Strategy, low: float, high: float, grid: tuple[float, ...], total: int, salt: int
) -> tuple[float, ...]:
    """Of a strategy that does not depend on outcomes, all that one column and seed runs, in order."""
    make: dict[str, Callable[[], BaseSampler]] = {
        "grid": lambda: GridSampler({"x": list(grid)}, seed=salt),
        "random": lambda: RandomSampler(seed=salt),
        "sobol": lambda: QMCSampler(qmc_type="sobol", scramble=True, seed=salt),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # Sobol' has been for years
        study = optuna.create_study(sampler=make[strategy]())
    space = _space(low, high)
    return tuple(float(study.ask(space).params["x"]) for _ in range(total))


def _space(low: float, high: float) -> dict[str, BaseDistribution]:
    return {"x": FloatDistribution(low, high)}
