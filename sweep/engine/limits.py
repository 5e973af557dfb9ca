"""What ends a run before its study is complete: the user, the clock, failures, a full disk."""

import time
from collections.abc import Callable

import optuna

from sweep.store import keys
from sweep.store.study_view import StudyView


class Stop:
    """Asks one run to end, from another thread or from a signal handler. It cannot be taken back."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.notice = ""
        self.at_once = False
        self.is_heard = False
        """Whether a run is at the stage where it looks; before and after, an exception must end it."""

    def finish(self, reason: str = "stopped", notice: str = "") -> None:
        """Let the running trials end, and start no more.

        notice: a sentence that the run says when it obeys.
        """
        self.reason, self.notice = self.reason or reason, notice

    def leave(self, reason: str = "stopped") -> None:
        """Leave the running trials as soon as each has written a checkpoint; the next run resumes them."""
        self.reason, self.at_once = self.reason or reason, True


class Limits:
    """When to start no more trials (`stopped` says why), and when to leave the running ones too (`now`).

    `stop` is heard within `with`.
    """

    def __init__(
        self, timeout_s: float | None, max_failures: int, say: Callable[[str], None], stop: Stop
    ) -> None:
        self.timeout_s, self.max_failures, self.say = timeout_s, max_failures, say
        self.stopped: str | None = None
        self.failed_as_a_whole = False
        self.now = False
        self._stop = stop
        self._failed: set[object] = set()
        self._started = time.monotonic()

    def __enter__(self) -> "Limits":
        self._stop.is_heard = True
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.is_heard = False

    def succeeded(self) -> None:
        self._failed.clear()

    def one_failed(self, what: object) -> None:
        """`what` identifies the trial: one that fails again counts as one failure."""
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
        """Obey the clock and the user."""
        if self.timeout_s and time.monotonic() - self._started > self.timeout_s and not self.stopped:
            self.stop("the time is up")
            self.say("time is up: the running trials finish, no more are started")
        if self._stop.at_once:
            self.stop(self._stop.reason or "stopped", now=True)
        elif self._stop.reason and not self.stopped:
            self.stop(self._stop.reason)
            if self._stop.notice:
                self.say(self._stop.notice)


def ask_to_stop(study: optuna.Study, stop: bool) -> None:
    """All who run the study start no more trials."""
    study.set_user_attr(keys.STOP, stop)


def is_asked_to_stop(study: optuna.Study) -> bool:
    return StudyView.of(study).is_asked_to_stop
