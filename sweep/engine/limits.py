"""What ends a run before its study is whole: the user, the clock, failures, a full disk."""

import signal
import time
from collections.abc import Callable
from types import FrameType

import optuna

from sweep.store import keys
from sweep.store.study_view import StudyView

EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143


class Limits:
    """Within `with`, SIGINT and SIGTERM are collected instead of raised.

    `stopped` says why no more trials are started, `now` that the running ones are to be left, too.
    """

    def __init__(self, timeout_s: float | None, max_failures: int, say: Callable[[str], None]) -> None:
        self.timeout_s, self.max_failures, self.say = timeout_s, max_failures, say
        self.stopped: str | None = None
        self.failed_as_a_whole = False
        self.now = False
        self.signals: list[int] = []
        self._failed: set[object] = set()
        self._started = time.monotonic()

    def __enter__(self) -> "Limits":
        self._handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
        if len(self.signals) > 3:  # whoever insists is obeyed, whatever this is waiting for
            raise KeyboardInterrupt

    def succeeded(self) -> None:
        self._failed.clear()

    def one_failed(self, what: object) -> None:
        """`what` tells one trial from another: a trial that fails again is one failure."""
        self._failed.add(what)
        if len(self._failed) >= self.max_failures:
            self.fail(f"{len(self._failed)} trials failed in a row")

    def stop(self, reason: str, now: bool = False) -> None:
        self.stopped = self.stopped or reason
        self.now = self.now or now

    def fail(self, reason: str, now: bool = False) -> None:
        self.stop(reason, now)
        self.failed_as_a_whole = True

    def check(self) -> None:
        """Obey the clock and the signals that have come."""
        if self.timeout_s and time.monotonic() - self._started > self.timeout_s and not self.stopped:
            self.stop("the time is up")
            self.say("time is up: the running trials finish, no more are started")
        if len(self.signals) > 1 or signal.SIGTERM in self.signals:
            self.stop("stopped", now=True)
        elif self.signals and not self.stopped:
            self.stop("interrupted")
            self.say("finishing the running trials; press Ctrl-C again to stop now")

    def exit_code(self, failures: int) -> int:
        if signal.SIGTERM in self.signals:
            return EXIT_TERMINATED
        if self.signals:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if failures or self.failed_as_a_whole else 0


def ask_to_stop(study: optuna.Study, stop: bool) -> None:
    """All who run the study start no more trials."""
    study.set_user_attr(keys.STOP, stop)


def is_asked_to_stop(study: optuna.Study) -> bool:
    return StudyView.of(study).is_asked_to_stop
