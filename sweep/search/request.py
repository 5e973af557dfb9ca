"""What a study does next: its phases in order, each a pure function of the trials in the store.

The process that runs a study asks for the next Request whenever a worker is free and puts it into Optuna's
queue; a worker takes it out, fills the axes it leaves open, trains and tells. Because a phase looks at
nothing but the trials, it goes on by itself after a crash, and no two workers decide the same thing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.study import Plan

CAP = "lr_cap"
"""Attribute of a trial whose learning rate is searched inside a mapped border: the largest allowed."""
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Request:
    """A trial to be run, and what is decided about it in advance.

    params: values of axes of the plan; the sampler fills the others.
    settings: dotted config paths that this trial sets beyond the axes, such as {"epochs": 12}.
    seed: of the training; None: the study's seed plus the trial's number.
    attrs: further user attributes of the trial, such as {"arm": "depth 4"}.
    """

    phase: str
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def user_attrs(self) -> dict[str, Any]:
        attrs = {"phase": self.phase, **self.attrs}
        if self.settings:
            attrs["settings"] = json.dumps(dict(self.settings))
        if self.seed is not None:
            attrs["seed"] = self.seed
        return attrs

    def enqueue(self, study: optuna.Study) -> None:
        study.enqueue_trial(dict(self.params), user_attrs=self.user_attrs())


class Phase(Protocol):
    """Both functions take all trials of the study, of any phase and state.

    A trial that failed and is tried again has a successor with the same attributes and `retry_of`.
    """

    name: str

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        """The next trial to start; None where the running ones must end first, or nothing is left."""
        ...

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        """Trials still to be started, as far as that is known now."""
        ...


def phase_of(trial: optuna.Trial | FrozenTrial) -> str:
    return str(trial.user_attrs.get("phase", Explore.name))


def group_of(trial: optuna.Trial | FrozenTrial) -> tuple[str, str]:
    """Phase and arm: trials of another differ in settings that are no parameters."""
    return phase_of(trial), str(trial.user_attrs.get("arm", ""))


def settings_of(trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
    """What the trial sets beyond the axes, by dotted path."""
    settings: dict[str, Any] = json.loads(trial.user_attrs.get("settings", "{}"))
    return settings


def of_phase(trials: Sequence[FrozenTrial], name: str) -> list[FrozenTrial]:
    return [trial for trial in trials if phase_of(trial) == name]


def originals(trials: Sequence[FrozenTrial], name: str) -> list[FrozenTrial]:
    """The phase's trials without the later attempts at the same one."""
    return [trial for trial in of_phase(trials, name) if "retry_of" not in trial.user_attrs]


class Explore:
    """The sampler's trials, arm after arm, until `total` were asked for over all runs of the study."""

    name = "explore"

    def __init__(self, plan: Plan, total: int) -> None:
        self.plan, self.total = plan, total

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        asked = originals(trials, self.name)
        if len(asked) >= self.total:
            return None
        arm = self.plan.arm_of(len(asked))
        of_arm = sum(trial.user_attrs.get("arm") == arm.name for trial in asked)
        attrs: dict[str, Any] = {"arm": arm.name}
        if arm.name in self.plan.caps:
            attrs |= {CAP: self.plan.caps[arm.name], "capped_by": self.plan.capped_by}
        return Request(self.name, params=arm.point(of_arm), settings=arm.settings, attrs=attrs)

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        return max(0, self.total - len(originals(trials, self.name)))


def phases(plan: Plan, explore_total: int) -> list[Phase]:
    """In the order in which they are run."""
    # These are phases themselves, and so import what is defined here.
    if plan.border:
        from sweep.border.phases import Distance, Map, Verify

        return [kind(plan.border, plan.base) for kind in (Map, Verify, Distance)]
    from sweep.search.confirm import Repeat

    explore = Explore(plan, explore_total)
    return [explore] if plan.confirm is None else [explore, Repeat(plan, plan.confirm, explore_total)]


def next_request(phases: Sequence[Phase], trials: Sequence[FrozenTrial]) -> Request | None:
    """Of the first phase that is not over; None where the running trials must end first, or all is done."""
    for phase in phases:
        request = phase.next(trials)
        if request is not None:
            return request
        if any(trial.state in UNFINISHED for trial in of_phase(trials, phase.name)):
            return None
    return None


def remaining(phases: Sequence[Phase], trials: Sequence[FrozenTrial]) -> int:
    """Trials still to be started, as far as that is known now."""
    return sum(phase.remaining(trials) for phase in phases)


def explore_total(study: optuna.Study, more: int | None, default: int) -> int:
    """How many explore trials there should be when this run is over, over all runs of the study.

    more: what the user asked for; trials that wait in the queue count towards it. None finishes what an
    interrupted run left open, or where nothing is open adds `default`.
    """
    trials = study.get_trials(deepcopy=False)
    asked = len(originals(trials, Explore.name))
    if more is not None:
        waiting = sum(t.state is TrialState.WAITING for t in of_phase(trials, Explore.name))
        return asked + max(0, more - waiting)
    requested = int(study.user_attrs.get("explore_total", 0))
    waiting_anywhere = any(t.state is TrialState.WAITING for t in trials)
    return requested if requested > asked or waiting_anywhere else asked + default
