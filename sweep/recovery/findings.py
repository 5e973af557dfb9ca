"""What is looked at, and what is found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import optuna
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import heartbeat as presence
from sweep.store.home import Home
from sweep.tracking.client import RUN_KEY, Tracker
from sweep.tracking.linking import RUN_ID
from sweep.tracking.outbox import Linked

RECONCILED = "reconciled"
"""Study attribute: all trials below this number have ended and agree with their runs."""
WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Finding:
    """Something that a crash, an outage or a hand in the stores has left behind."""

    kind: str
    study: str
    text: str
    mend: Callable[[], object] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "study": self.study, "text": self.text}


@dataclass
class View:
    """One study in both stores, as seen by one look.

    me: the supervisor that looks, where it is one.
    full: every trial and run; otherwise those since the last look that found all in order.
    """

    study: optuna.Study
    home: Home
    tracker: Tracker
    linked: Linked
    max_retries: int = 2
    me: str | None = None
    full: bool = True

    @property
    def name(self) -> str:
        return self.study.study_name

    @cached_property
    def attrs(self) -> Mapping[str, Any]:
        return self.study.user_attrs

    @property
    def experiment(self) -> str:
        return str(self.attrs["mlflow_experiment_id"])

    @property
    def parent(self) -> str:
        return str(self.attrs["mlflow_run_id"])

    @cached_property
    def first(self) -> int:
        """The first trial that is looked at."""
        return 0 if self.full else int(self.attrs.get(RECONCILED, 0))

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)[self.first :]

    def runs(self) -> dict[str, StoredRun]:
        """The runs of those trials, by id; of the whole study where the look is full."""
        if self.full:
            return {run.info.run_id: run for run in self.tracker.children(self.experiment, self.parent)}
        ids = {trial.user_attrs[RUN_ID] for trial in self.trials() if RUN_ID in trial.user_attrs}
        found = (self._run(run_id) for run_id in sorted(ids))
        return {run.info.run_id: run for run in found if run is not None}

    def _run(self, run_id: str) -> StoredRun | None:
        try:
            return self.tracker.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def is_run_by_others(self) -> bool:
        ages = presence.ages(self.study)
        return any(owner != self.me and presence.is_alive(owner, ages) for owner in ages)

    def finding(self, kind: str, text: str, mend: Callable[[], object]) -> Finding:
        return Finding(kind, self.name, text, mend)


def trial_of(run: StoredRun, trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The last attempt that wrote the run."""
    key = run.data.tags.get(RUN_KEY)
    mine = [
        trial
        for trial in trials
        if trial.user_attrs.get(RUN_ID) == run.info.run_id
        or (key is not None and trial.user_attrs.get("run_key") == key)
    ]
    return max(mine, key=lambda trial: trial.number, default=None)
