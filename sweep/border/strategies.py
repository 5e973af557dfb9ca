"""What to run next, by the plan's strategy: a pure function of the runs so far.

`mapper` proposes short probes, label after label; the others propose full-length runs over the whole range
in every column and seed, as anyone would without it, and each of their runs says something about all labels.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from sweep.border.mapper import Point, Task, next_point
from sweep.border.runs import PlacedRun, furthest, points_of
from sweep.study.border_plan import BorderPlan
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
        if self.plan.strategy != "mapper":
            return self._next_of_sampler(runs)
        for label in self.labels:
            point = _next_point(self.plan, label, tuple(self.points(label, runs)))
            if point is None:
                proposal = self._late_check(label, runs)
            else:
                proposal = Proposal(point.column, point.seed, point.x, label, probe_horizon(label))
            if proposal is not None and _is_new(proposal, runs):
                return proposal
        return None

    def _late_check(self, label: Label, runs: Sequence[PlacedRun]) -> Proposal | None:
        """The edge of a seed's ladder, followed further where runs are known to go late; one that goes sends
        its ladder further down.
        """
        runs = furthest(runs, label, probe_horizon(label))
        for column, steps in enumerate(self.late[label]):
            mine = [run for run in runs if run.column == column]
            for seed, edge in sorted(self._edges(label, mine).items()) if steps else ():
                near = [run for run in mine if run.seed == seed and run.followed(steps, edge - self.reach)]
                if all(run.crossed(label, None) for run in near):
                    return Proposal(column, seed, edge, label, steps)
        return None

    @property
    def reach(self) -> float:
        return NEAR * self.plan.step

    def next_verification(self, runs: Sequence[PlacedRun]) -> Proposal | None:
        """A full-length run where short ones say that the edge of stability is, a column after another.

        It checks the largest value that a seed's probes called stable; a column has `verify` such checks that
        held. Where one did not, every seed of the column is checked.
        """
        for label in self.labels:
            decided = furthest(runs, label, probe_horizon(label))
            for column in range(len(self.plan.plane.columns)):
                proposal = self._verification(label, [run for run in decided if run.column == column])
                if proposal is not None and _is_new(proposal, runs):
                    return proposal
        return None

    def _verification(self, label: Label, column: Sequence[PlacedRun]) -> Proposal | None:
        edges = self._edges(label, column)
        if not edges:
            return None
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
        open_seeds = edges.keys() - held - under_way
        if len(held | under_way) >= wanted or not open_seeds:
            return None
        # The seed that goes furthest is the likeliest to be wrong.
        seed = max(sorted(open_seeds), key=lambda seed: edges[seed])
        return Proposal(column[0].column, seed, edges[seed], label, None)

    def _edges(self, label: Label, column: Sequence[PlacedRun]) -> dict[int, float]:
        """Of each seed, the largest x that was called stable below one that crossed; its ladder's foot."""
        edges: dict[int, float] = {}
        for run in column:
            horizon = probe_horizon(label)
            mine = [r for r in column if r.seed == run.seed and r.crossed(label, horizon)]
            if run.crossed(label, horizon) is False and any(r.x > run.x for r in mine):
                edges[run.seed] = max(edges.get(run.seed, -np.inf), run.x)
        return edges

    def _next_of_sampler(self, runs: Sequence[PlacedRun]) -> Proposal | None:
        plan = self.plan
        for seed in plan.seeds:
            for column in range(len(plan.plane.columns)):
                mine = [run for run in runs if (run.column, run.seed) == (column, seed)]
                x = next_of_sampler(plan, mine, salt=1000 * seed + column)
                if x is not None:
                    return Proposal(column, seed, x, "nonfinite", None)
        return None


def _is_new(proposal: Proposal, runs: Sequence[PlacedRun]) -> bool:
    """A run that was made already would give the same answer, and be proposed again for ever."""
    place = (proposal.column, proposal.seed, round(proposal.x, 6))
    asked = (place, proposal.label, proposal.horizon)
    return all((run.place, run.label, run.horizon) != asked for run in runs)


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


@lru_cache(maxsize=64)
def _next_point(plan: BorderPlan, label: Label, points: tuple[Point, ...]) -> Point | None:
    """Asked again whenever a worker is free; a label whose runs are the same has the same answer."""
    return next_point(task_of(plan, label), points)


def next_of_sampler(plan: BorderPlan, mine: Sequence[PlacedRun], salt: int) -> float | None:
    """The next x of one column and seed by grid, random, sobol or tpe; None where their share is spent."""
    grid = [float(x) for x in np.arange(plan.low, plan.high + 1e-9, plan.grid_step)]
    total = len(grid) if plan.strategy == "grid" else plan.trials_a_column
    if len(mine) >= total:
        return None
    make: dict[str, Callable[[], BaseSampler]] = {
        "grid": lambda: GridSampler({"x": grid}, seed=salt),
        "random": lambda: RandomSampler(seed=salt),
        "sobol": lambda: QMCSampler(qmc_type="sobol", scramble=True, seed=salt),
        "tpe": lambda: TPESampler(seed=salt + len(mine), n_startup_trials=4),
    }
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(plan.low, plan.high)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # Sobol' has been for years
        study = optuna.create_study(sampler=make[plan.strategy]())
    if plan.strategy == "tpe":
        for run in mine:
            if run.observation is not None:
                loss = run.observation.recent_loss
                value = float("inf") if loss is None else loss
                study.add_trial(optuna.create_trial(params={"x": run.x}, distributions=space, value=value))
        return float(study.ask(space).params["x"])
    # The sequence does not depend on outcomes: its first member that nobody has run.
    taken = [run.x for run in mine]
    while True:
        x = float(study.ask(space).params["x"])
        if all(abs(x - other) > 1e-9 for other in taken):
            return x
