"""What a run tells whoever watches it. The engine prints nothing: it calls these."""

from collections.abc import Callable
from typing import Any

import optuna


class Observer:
    """Does nothing; override what is of interest. Called from the thread that runs the study."""

    def say(self, text: str) -> None:
        """A sentence for the user, such as that a trial failed and is queued again."""

    def start(self, study: optuna.Study, workers: int, left: Callable[[], int]) -> None:
        """Before the first trial. `left` counts the trials still to be started, as far as is known then."""

    def progress(self, worker: int, facts: dict[str, Any]) -> None:
        """What a worker reports of its trial: `trial`, `settings`, `epoch`, `epochs`, `objective`, ..."""

    def trial_over(self, worker: int, number: int) -> None:
        """A trial has ended, with or without a result; the store says how."""

    def refresh(self) -> None:
        """Several times a second, for whoever draws."""

    def stop(self) -> None:
        """After the last trial."""
