"""Asking Optuna for the next settings of a plan, each arm with a sampler of its own."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sweep.store import optuna_internals
from sweep.store.trials import LR, TrialView
from sweep.study import Arm, Axis, Plan

TPE: Mapping[str, Any] = {
    # An arm's share of a default run is four trials: the first ones are random, then TPE takes over.
    "n_startup_trials": 4,
    # Optuna's default; in its benchmark of defaults 100 and 1,000 rank behind it (optuna issue 2964).
    "n_ei_candidates": 24,
    # The rate that a run bears depends on clipping and depth, so settings are proposed together. False up to
    # Optuna 4; since 5 the default for one objective.
    "multivariate": True,
    # All trials of an arm have the same axes: there are no subspaces to take apart.
    "group": False,
    # Several workers ask at once: a trial that still runs counts as a bad one, so that its settings are not
    # proposed again. False up to Optuna 4, True since 5.
    "constant_liar": True,
}
"""What TPE is asked for, by name and not by Optuna's defaults: those changed with its version 5, and a
study must not search in another way after an upgrade. The densities' own arguments (`gamma`, `weights`,
`prior_weight` and the like) cannot be given without a warning that they will go; a test holds the proposals
that they lead to."""
LEARNED_FROM, BEST = 500, 25


def distribution(axis: Axis) -> BaseDistribution:
    if axis.kind == "float":
        return FloatDistribution(axis.low, axis.high, log=axis.log)
    if axis.kind == "int":
        return IntDistribution(axis.low, axis.high)
    return CategoricalDistribution(axis.choices)


def search_space(plan: Plan) -> dict[str, BaseDistribution]:
    return {axis.path: distribution(axis) for axis in plan.axes}


def suggest(trial: optuna.Trial, space: dict[str, BaseDistribution]) -> None:
    """Fill the axes that the trial's request leaves open."""
    for path, distribution in space.items():
        optuna_internals.suggest(trial, path, distribution)


def most_informative(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """All of them up to LEARNED_FROM; beyond that, those TPE learns most from, in their order.

    TPE fits one density to the best tenth, 25 at most, and one to all others: from 250 trials on the number
    of the best does not grow, and the latest of the others say as much as all of them.
    """
    if len(trials) <= LEARNED_FROM:
        return trials
    done = [number for number, trial in enumerate(trials) if trial.state is TrialState.COMPLETE]
    best = sorted(done, key=lambda number: trials[number].values[0])[:BEST]
    kept = set(best) | set(range(len(trials) - (LEARNED_FROM - BEST), len(trials)))
    return [trials[number] for number in sorted(kept)]


def _capped(space: dict[str, BaseDistribution], cap: float | None) -> dict[str, BaseDistribution]:
    """The learning rate no larger than `cap`."""
    lr = space.get(LR)
    if cap is None or not isinstance(lr, FloatDistribution) or cap >= lr.high:
        return space
    return space | {LR: FloatDistribution(lr.low, cap, log=lr.log)}


class ArmSampler(BaseSampler):
    """Proposes an arm's fixed values and, for the rest, what TPE makes of that arm's trials alone.

    All arms live in one Optuna study, so that the dashboard compares them; the sampler of an arm sees a
    copy of the trials that share the arm's fixed values. The seed and the trial's number decide its
    random draws.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self._space = search_space(plan)
        self._independent = RandomSampler(seed)

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        fixed = dict(self._arm(trial).fixed)
        free = {path: dist for path, dist in search_space.items() if path not in fixed}
        free = _capped(free, TrialView(trial).lr_cap)
        sampler = TPESampler(seed=(self.seed * 1_000_003 + trial.number) % 2**32, **TPE)
        arm = optuna.create_study(direction=study.direction, sampler=sampler)
        copies = (self._copy(other, trial, fixed, free) for other in study.get_trials(deepcopy=False))
        arm.add_trials(most_informative([copy for copy in copies if copy is not None]))
        return fixed | arm.ask(free).params

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _arm(self, trial: FrozenTrial) -> Arm:
        """The one its request names; by number in a loop that asks without requests."""
        named = {arm.name: arm for arm in self.plan.arms}
        return named.get(TrialView(trial).arm, self.plan.arm_of(trial.number))

    @staticmethod
    def _copy(
        other: FrozenTrial, asked: FrozenTrial, fixed: dict[str, Any], free: dict[str, BaseDistribution]
    ) -> FrozenTrial | None:
        """`other` over the free parameters, where it is of the arm and has a result or will have one."""
        if other.number == asked.number or other.state not in (TrialState.COMPLETE, TrialState.RUNNING):
            return None
        # Of another budget, schedule or settings: its objective is another.
        if TrialView(other).group != TrialView(asked).group:
            return None
        if any(other.params.get(path) != value for path, value in fixed.items()):
            return None
        params = {path: other.params[path] for path in free if path in other.params}
        if len(params) < len(free):  # still being asked by another worker
            return None
        lr = free.get(LR)
        if lr is not None and not optuna_internals.contains(lr, params[LR]):
            return None  # beyond a border that was mapped since
        return optuna.trial.create_trial(
            state=other.state, value=other.value, params=params, distributions=free
        )
