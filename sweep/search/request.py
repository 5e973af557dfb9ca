"""A request for a trial, the phase that makes it, and how a trial in the store says which phase it is of.

The process that runs a study asks for the next Request whenever a worker is free and puts it into Optuna's
queue; a worker takes it out, fills the axes it leaves open, trains and reports the result. A phase is a pure
function of the trials in the store, so it continues after a crash, and no two workers decide the same thing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.store import keys
from sweep.store.trials import TrialView

UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Request:
    """A trial to be run, and what is decided about it in advance.

    params: values of axes of the plan; the sampler fills the others.
    settings: dotted config paths that this trial sets beyond the axes, such as {"epochs": 12}.
    seed: of the training; None: the study's seed plus the trial's number.
    attrs: other attributes of the trial (`sweep.store.keys`), such as {"arm": "depth 4"}.
    """

    phase: str
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def user_attrs(self) -> dict[str, Any]:
        attrs = {keys.PHASE: self.phase, **self.attrs}
        if self.settings:
            attrs[keys.SETTINGS] = json.dumps(dict(self.settings))
        if self.seed is not None:
            attrs[keys.SEED] = self.seed
        return attrs

    def enqueue(self, study: optuna.Study) -> None:
        study.enqueue_trial(dict(self.params), user_attrs=self.user_attrs())


class Phase(Protocol):
    """All functions take all trials of the study, of any phase and state.

    A trial that failed and is tried again has a successor with the same attributes and `retry_of`.
    """

    name: str
    waits: bool = True
    """Whether all it asks for depends on the trials of the phases before it, so that these must end first."""
    urgent: bool = False
    """Whether it is asked before the others while trials are under way: its own are long, and all would wait
    for them at last."""

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        """The next trial to start; None where the running ones must end first, or nothing is left."""
        ...

    def several(self, trials: Sequence[FrozenTrial], count: int) -> list[Request]:
        """Trials to start together, `count` at most; none where `next` has none."""
        request = self.next(trials)
        return [] if request is None else [request]

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        """Trials still to be started, as far as that is known now."""
        ...


def of_phase(trials: Sequence[FrozenTrial], name: str) -> list[FrozenTrial]:
    return [trial for trial in trials if TrialView(trial).phase == name]


def originals(trials: Sequence[FrozenTrial], name: str) -> list[FrozenTrial]:
    """The phase's trials without the later attempts at the same one."""
    return [trial for trial in of_phase(trials, name) if TrialView(trial).retry_of is None]
