"""What recovery looks at, a study in both stores, and what it finds there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import heartbeat
from sweep.store.home import Home
from sweep.store.links import LinkRun, StudyLink, study_link
from sweep.store.study_view import StudyView
from sweep.store.trials import TrialView, views
from sweep.tracking.trackers import KEY, StoredRun, Tracker

WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Finding:
    """Something that a crash, an outage or an edit by hand has left behind; `fix` puts it right."""

    kind: str
    study: str
    text: str
    fix: Callable[[], object] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "study": self.study, "text": self.text}


@dataclass
class View:
    """One study in both stores.

    me: the id of the calling process, if it is a supervisor.
    full: look at every trial and run; otherwise at those since the last time that all was in order.
    """

    study: optuna.Study
    home: Home
    tracker: Tracker
    link: LinkRun
    max_retries: int = 2
    me: str | None = None
    full: bool = True

    @property
    def name(self) -> str:
        return self.study.study_name

    @cached_property
    def _place(self) -> StudyLink:
        place = study_link(self.study)
        assert place is not None, "the study is complete"
        return place

    @property
    def experiment(self) -> str:
        return self._place.experiment

    @property
    def parent(self) -> str:
        """The id of the study's own run."""
        return self._place.run_id

    @cached_property
    def first(self) -> int:
        """The number of the first trial to look at."""
        return 0 if self.full else StudyView.of(self.study).reconciled

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)[self.first :]

    def runs(self) -> dict[str, StoredRun]:
        """The runs of those trials, by id; if `full`, all runs below the study's."""
        if self.full:
            return {run.id: run for run in self.tracker.children(self.experiment, self.parent)}
        ids = {run_id for trial in self.trials() if (run_id := TrialView(trial).run_id)}
        found = (self.tracker.run(run_id) for run_id in sorted(ids))
        return {run.id: run for run in found if run is not None}

    def is_run_by_others(self) -> bool:
        ages = heartbeat.ages(self.study)
        return any(owner != self.me and heartbeat.is_alive(owner, ages) for owner in ages)

    def finding(self, kind: str, text: str, fix: Callable[[], object]) -> Finding:
        return Finding(kind, self.name, text, fix)


def trial_of(run: StoredRun, trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The last attempt that wrote the run."""
    key = run.tags.get(KEY)
    mine = [
        trial.stored
        for trial in views(trials)
        if trial.run_id == run.id or (key is not None and trial.run_key == key)
    ]
    return max(mine, key=lambda trial: trial.number, default=None)
