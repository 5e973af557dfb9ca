"""The mapper as an Optuna sampler, for anyone's own ask and tell.

    study = optuna.create_study(sampler=BorderSampler({"lr": (1e-5, 1e-1)}, {"depth": (2, 4, 8)}))
    while not study.sampler.is_done(study):
        trial = study.ask(study.sampler.space)
        study.tell(trial, crossed(**trial.params))     # 1: it crossed the border, 0: it was stable

The program's own border studies do not need it: their parent process decides, by the same function.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.border.mapper import Point, Task, next_point
from sweep.border.model import BorderModel, BorderRun
from sweep.study.border_plan import Across, Plane

SEED = "seed"


class BorderSampler(BaseSampler):
    """Proposes where to run next so that the border becomes known; keeps nothing but what it was made with.

    searched: name -> range of the one parameter whose border is mapped, on a logarithmic scale.
    across: name -> values of one or two others; log: which of them are on a logarithmic scale.
    seeds: values of the parameter `seed`. step, precision: in decades, see `sweep.border.mapper.Task`.

    A trial's value is 1 where it crossed and 0 where it was stable. Several processes may ask at once: a
    trial that runs counts as its expected outcome, and of those that were asked for in the same moment each
    takes its own place in the line, by number.
    """

    def __init__(
        self,
        searched: Mapping[str, tuple[float, float]],
        across: Mapping[str, Sequence[int | float]],
        *,
        log: Sequence[str] = (),
        seeds: Sequence[int] = (0, 1, 2),
        step: float = 0.125,
        precision: float = 0.15,
        cell_budget: int = 8,
    ) -> None:
        ((name, (low, high)),) = searched.items()
        axes = tuple(
            Across(name=key, paths=(key,), values=tuple(values), log=key in log)
            for key, values in across.items()
        )
        self.plane = Plane(searched=name, low=low, high=high, across=axes)
        self.seeds = tuple(seeds)
        self.task = Task(
            z=np.array([self.plane.unit(column) for column in self.plane.columns]),
            seeds=self.seeds,
            low=math.log10(low),
            high=math.log10(high),
            step=step,
            precision=precision,
            column_budget=cell_budget * len(self.seeds),
        )
        self._random = RandomSampler(seed=0)

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """For `study.ask`."""
        return {
            self.plane.searched: FloatDistribution(self.plane.low, self.plane.high, log=True),
            **{axis.name: CategoricalDistribution(axis.values) for axis in self.plane.across},
            SEED: CategoricalDistribution(self.seeds),
        }

    def is_done(self, study: optuna.Study) -> bool:
        """Whether there is nothing to start: the border is known as well as was asked, or will be as soon as
        the running trials end as expected. Where one does not, whoever runs it goes on.
        """
        return next_point(self.task, self._points(study.get_trials(deepcopy=False))) is None

    def model(self, study: optuna.Study) -> BorderModel:
        """The border as the finished trials show it."""
        runs = [
            BorderRun(point.column, point.seed, point.x, point.crossed, steps=0, trial=trial.number)
            for trial in study.get_trials(deepcopy=False)
            for point in self._points([trial])
            if point.crossed is not None
        ]
        return BorderModel("blowup", self.plane, self.seeds, runs)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        points = self._points(trials)
        asking = [t for t in trials if t.state is TrialState.RUNNING and not t.params]
        for other in sorted(asking, key=lambda t: t.number):
            point = next_point(self.task, points)
            if point is None:
                return {}  # nothing to gain: any place will do
            if other.number >= trial.number:
                return self._params(point)
            points.append(point)
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _points(self, trials: Sequence[FrozenTrial]) -> list[Point]:
        columns = {column: index for index, column in enumerate(self.plane.columns)}
        points = []
        for trial in trials:
            column = self.plane.column_of(trial.params)
            if column not in columns or self.plane.searched not in trial.params or SEED not in trial.params:
                continue
            crossed = None
            if trial.state is TrialState.COMPLETE:
                crossed = trial.values[0] >= 0.5
            elif trial.state is not TrialState.RUNNING:
                continue
            x = round(math.log10(trial.params[self.plane.searched]), 9)
            points.append(Point(columns[column], trial.params[SEED], x, crossed))
        return points

    def _params(self, point: Point) -> dict[str, Any]:
        column = self.plane.columns[point.column]
        x = min(max(10.0**point.x, self.plane.low), self.plane.high)
        return {self.plane.searched: x, **self.plane.settings(column), SEED: point.seed}
