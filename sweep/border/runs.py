"""From trials to what a border map works on: which run was where in the plane, and how it went.

A trial of a border study carries user attributes of its own: `border/at` (values of its column),
`border/x` (log10 of the searched setting), `border/label` and `border/horizon` (what was asked of a
probe), and after its end those of `vae.stability.labels.Observation`, `border/steps` and the rest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from optuna.trial import FrozenTrial, TrialState

from sweep.border.mapper import Point
from sweep.border.model import BorderRun
from sweep.store.trials import TrialView
from sweep.study.border_plan import BorderPlan
from vae.stability.labels import Horizon, Label, Observation, verdict

UNDER_WAY = (TrialState.RUNNING, TrialState.WAITING)
OVER = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class PlacedRun:
    """A trial in the plane. label, horizon: what was asked of a probe; label None: a normal run.

    observation: None while it is under way.
    """

    trial: int
    phase: str
    column: int
    seed: int
    x: float
    label: Label | None
    horizon: Horizon
    observation: Observation | None

    @property
    def place(self) -> tuple[int, int, float]:
        """Runs of one place are the same run, followed for more or fewer steps."""
        return self.column, self.seed, round(self.x, 6)

    @property
    def steps(self) -> int:
        return 0 if self.observation is None else self.observation.steps

    @property
    def is_check(self) -> bool:
        """A probe of full length."""
        return self.label is not None and self.horizon is None

    @property
    def is_whole(self) -> bool:
        """Followed to its end."""
        return self.observation is not None and self.steps >= self.observation.total_steps

    def followed(self, steps: int | None, x: float) -> bool:
        """Whether it is, or will be, followed for so many steps at x or above."""
        if self.x < x - 1e-9:
            return False
        if self.observation is None:
            return self.horizon is None or (steps is not None and self.horizon >= steps)
        total = self.observation.total_steps
        return self.steps >= min(total, total if steps is None else steps)

    def crossed(self, label: Label, horizon: Horizon) -> bool | None:
        """None while it is under way, or where it was followed for too few steps to decide."""
        return None if self.observation is None else verdict(label, self.observation, horizon)


class _Ended:
    """A trial that is over, as a key: it does not change, and Optuna keeps one object of it."""

    def __init__(self, trial: FrozenTrial) -> None:
        self.trial = trial

    def __hash__(self) -> int:
        return id(self.trial)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ended) and other.trial is self.trial


def runs_in(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> list[PlacedRun]:
    """Trials that lie in one of the plan's columns and did not fail, by number."""
    columns = {column: index for index, column in enumerate(plan.plane.columns)}
    found = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state in UNDER_WAY or trial.state in OVER:
            at = TrialView(trial).border_at
            if at in columns:
                over = trial.state in OVER
                found.append(_over(_Ended(trial), columns[at]) if over else _placed(trial, columns[at]))
    return found


def probes_in(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> list[PlacedRun]:
    """What the mapper works on: all but the whole training runs, which lie where it says."""
    return [run for run in runs_in(plan, trials) if run.label is not None]


def _placed(trial: FrozenTrial, column: int) -> PlacedRun:
    view = TrialView(trial)
    assert view.seed is not None
    return PlacedRun(
        trial=view.number,
        phase=view.phase,
        column=column,
        seed=view.seed,
        x=view.border_x,
        label=view.border_label,
        horizon=view.border_horizon,
        observation=Observation.from_dict(view.border_facts) if view.state in OVER else None,
    )


@lru_cache(maxsize=20_000)
def _over(ended: _Ended, column: int) -> PlacedRun:
    """Asked for by every phase whenever a lane is free."""
    return _placed(ended.trial, column)


def furthest(runs: Sequence[PlacedRun], label: Label, horizon: Horizon) -> list[PlacedRun]:
    """Per place, the run that was followed furthest among those that decide the label, and all running ones.

    What a shorter run called stable was only a forecast.
    """
    longest: dict[tuple[int, int, float], PlacedRun] = {}
    for run in runs:
        known = longest.get(run.place)
        if run.crossed(label, horizon) is not None and (known is None or run.steps > known.steps):
            longest[run.place] = run
    return [run for run in runs if run.observation is None or longest.get(run.place) is run]


def points_of(label: Label, runs: Sequence[PlacedRun], horizon: Horizon) -> list[Point]:
    """For the mapper: runs that decide the label, and its probes that are under way."""
    points = []
    for run in furthest(runs, label, horizon):
        crossed = run.crossed(label, horizon)
        under_way = run.observation is None and run.label == label
        if crossed is not None or under_way:
            points.append(Point(run.column, run.seed, run.x, crossed))
    return points


def border_runs(label: Label, runs: Sequence[PlacedRun], horizon: Horizon) -> list[BorderRun]:
    """For the model: finished runs that decide the label, with the steps of all runs at their place."""
    steps: Counter[tuple[int, int, float]] = Counter()
    for run in runs:
        steps[run.place] += run.steps
    return [
        BorderRun(run.column, run.seed, run.x, crossed, steps[run.place], run.trial)
        for run in furthest(runs, label, horizon)
        if (crossed := run.crossed(label, horizon)) is not None
    ]
