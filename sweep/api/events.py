"""What `run` reports to a progress callback."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import optuna

from sweep.engine.limits import Stop
from sweep.engine.observer import Observer
from sweep.store.trials import TrialView


@dataclass(frozen=True)
class RunEvent:
    """One thing that happened in a run.

    kind: `message` (a sentence for the user), `started` (before the first trial), `trial_started`, `epoch`
        (of a trial), `trial_ended`, `ended` (after the last trial).
    text: the event in words.
    trial: the trial's number. epoch, epochs: how many it has trained, and of how many.
    outcome: how it ended, such as `budget` or `nonfinite`; `unknown` where it failed.
    objective: the trial's, or at an epoch the current one; inf where the trial diverged, None where there
        is none.
    done, total: trials that this run has ended, and will have ended, as far as is known now.
    """

    kind: Literal["message", "started", "trial_started", "epoch", "trial_ended", "ended"]
    text: str
    trial: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    outcome: str | None = None
    objective: float | None = None
    done: int = 0
    total: int = 0


class EventObserver(Observer):
    """Passes events to `callback`, in the thread that runs the study.

    If the callback raises, the run is asked to leave its trials, and `error` holds the exception.
    """

    def __init__(self, callback: Callable[[RunEvent], object] | None, stop: Stop) -> None:
        self.callback, self.stopping = callback, stop
        self.error: Exception | None = None
        self._study: optuna.Study | None = None
        self._left: Callable[[], int] = lambda: 0
        self._running: dict[int, dict[str, Any]] = {}
        self._done = self._total = 0

    def say(self, text: str) -> None:
        self._report("message", text)

    def start(self, study: optuna.Study, workers: int, left: Callable[[], int]) -> None:
        self._study, self._left = study, left
        self._total = left()
        self._report("started", f"{self._total} trials on {workers} workers")

    def progress(self, worker: int, facts: dict[str, Any]) -> None:
        if "trial" in facts:
            self._running[worker] = {}
        running = self._running.setdefault(worker, {})
        running.update(facts)
        trial, epochs = running.get("trial"), running.get("epochs")
        if "trial" in facts:
            self._report("trial_started", f"trial {trial} started", trial=trial)
        elif "epoch" in facts:
            epoch, objective = facts["epoch"], facts.get("objective")
            text = f"trial {trial}: epoch {epoch} of {epochs}"
            self._report("epoch", text, trial=trial, epoch=epoch, epochs=epochs, objective=objective)

    def trial_over(self, worker: int, number: int) -> None:
        assert self._study is not None
        self._running.pop(worker, None)
        trial = TrialView(self._study.get_trials(deepcopy=False)[number])
        objective = math.inf if trial.diverged else trial.objective
        self._done += 1
        self._total = self._done + len(self._running) + self._left()
        value = "" if objective is None else f", objective {objective:.2f}"
        text = f"trial {number}: {trial.outcome}{value}"
        self._report("trial_ended", text, trial=number, outcome=trial.outcome, objective=objective)

    def stop(self) -> None:
        self._report("ended", f"{self._done} trials ended")

    def _report(self, kind: Any, text: str, **facts: Any) -> None:
        if self.callback is None or self.error is not None:
            return
        try:
            self.callback(RunEvent(kind, text, done=self._done, total=self._total, **facts))
        except Exception as error:
            self.error = error
            self.stopping.leave("the progress callback raised an exception")
