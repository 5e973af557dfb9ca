"""What a run reports while it works. The engine prints nothing: it calls an observer."""

from collections.abc import Callable
from typing import Any

import optuna


class Observer:
    """Does nothing: override what you need. All methods are called in the thread that runs the study."""

    def say(self, text: str) -> None:
        """Show the user a sentence, such as that a trial failed and is queued again."""

    def start(self, study: optuna.Study, workers: int, left: Callable[[], int]) -> None:
        """Called before the first trial. workers: how many trials run at the same time, in all lanes of all
        workers. `left` counts the trials still to start, as far as is known when it is called."""

    def progress(self, worker: int, facts: dict[str, Any]) -> None:
        """Called with news of the trial of a worker, or of one of its lanes, which are counted over all
        workers: `trial` when it starts, then `epoch`, `objective`, ..."""

    def trial_over(self, worker: int, number: int) -> None:
        """Called when a trial has ended, with or without a result; the store says how."""

    def refresh(self) -> None:
        """Called several times a second, for a live display."""

    def stop(self) -> None:
        """Called after the last trial."""
