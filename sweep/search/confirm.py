"""The phase after explore: the best setting of every arm, repeated over seeds that explore never used.

An arm that fixes every axis has one setting, and needs no explored trials. The best of several explored
trials is flattered by its choice; its repetitions are not. All arms share the seeds, and a seed is run in
every arm before the next one, so that a study cut short is balanced.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.search.explore import Explore
from sweep.search.request import Phase, Request, of_phase, originals
from sweep.store import keys
from sweep.store.trials import TrialView, views
from sweep.study import Arm, Confirm, Plan, space_hash

FIRST_SEED = 1_000_000
"""Far above those of explored trials, which count up from the study's seed."""


class Repeat(Phase):
    """Asks for a trial of every arm and seed that none was asked for yet, whatever became of those.

    A trial's attributes: `arm`, `confirms` (the explored trial it repeats, where there is one) and `setting`
    (a hash of all that is set but the seed). A study that goes on may find a better setting, which is then
    confirmed anew.
    """

    name = "confirm"

    def __init__(self, plan: Plan, confirm: Confirm, explore_total: int) -> None:
        self.plan, self.confirm, self.explore_total = plan, confirm, explore_total

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        return next(self._missing(trials), None)

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        """An arm that explore has not come to yet is taken to get a setting that can be confirmed."""
        asked = originals(trials, Explore.name)
        begun = {trial.arm for trial in views(asked) if trial.state.is_finished()}
        coming = {self.plan.arm_of(number).name for number in range(len(asked), self.explore_total)}
        return sum(1 for _ in self._missing(trials)) + len(coming - begun) * self.confirm.seeds

    def _missing(self, trials: Sequence[FrozenTrial]) -> Iterator[Request]:
        asked = {(t.arm, t.setting, t.seed) for t in views(of_phase(trials, self.name))}
        explored = [t for t in of_phase(trials, Explore.name) if t.state is TrialState.COMPLETE]
        shared = {path: _best_choice(explored, path) for path in self.confirm.shared}
        best = [(arm, _best(explored, arm)) for arm in self.plan.arms]
        known = [(arm, trial) for arm, trial in best if trial is not None or arm.confirm_only]
        for seed in self.seeds(trials):
            for arm, trial in known:
                request = self._request(arm, trial, seed, shared)
                if (arm.name, request.attrs[keys.SETTING], seed) not in asked:
                    yield request

    def seeds(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """The same at every call, as long as no other phase comes to use one of them."""
        used = {trial.seed for trial in views(trials) if trial.phase != self.name}
        return list(islice((seed for seed in count(FIRST_SEED) if seed not in used), self.confirm.seeds))

    def _request(self, arm: Arm, best: FrozenTrial | None, seed: int, shared: dict[str, Any]) -> Request:
        own = {*arm.fixed, *arm.settings}
        wanted = {p: v for p, v in {**shared, **self.confirm.settings}.items() if p not in own}
        found = arm.fixed if best is None else best.params
        params = {path: wanted.get(path, value) for path, value in found.items()}
        settings = {path: value for path, value in wanted.items() if path not in params} | dict(arm.settings)
        attrs: dict[str, Any] = {keys.ARM: arm.name, keys.SETTING: space_hash(params | settings)}
        if best is not None:
            attrs[keys.CONFIRMS] = best.number
        return Request(self.name, params, settings, seed, attrs)


def _best(explored: Sequence[FrozenTrial], arm: Arm) -> FrozenTrial | None:
    """None where every trial of the arm diverged."""
    finite = [t for t in explored if TrialView(t).arm == arm.name and math.isfinite(t.values[0])]
    return min(finite, key=lambda trial: (trial.values[0], trial.number), default=None)


def _best_choice(explored: Sequence[FrozenTrial], path: str) -> Any:
    """The value whose explored trials did best in the median, a divergence being worst."""
    values: dict[Any, list[float]] = {}
    for trial in explored:
        if path in trial.params:
            values.setdefault(trial.params[path], []).append(trial.values[0])
    return min(values, key=lambda value: (median(values[value]), value), default=None)
