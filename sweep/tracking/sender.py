"""Who sends journals to the tracking store (`sweep.tracking.delivery`), and tries again while it is away.

mlflow is imported with the delivery, in the sender's thread: a second for which no trial should wait.
"""

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path

from sweep.store.retry import impatient
from sweep.tracking import journal as journals
from sweep.tracking.client import Tracker
from sweep.tracking.journal import Journal, JournalBusyError
from sweep.tracking.outbox import Linked, Sending, warn

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


class Sender:
    """A thread that sends the journals of this process, and tries again while the store is away."""

    def __init__(self, tracker: Tracker, linked: Linked) -> None:
        self._tracker, self._linked = tracker, linked
        self._sendings: list[Sending] = []
        self._changed = threading.Condition()
        self._down = False
        self._over = False
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, journal: Journal) -> Sending:
        sending = Sending(journal)
        with self._changed:
            self._sendings.append(sending)
            self._changed.notify_all()
        return sending

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is sent, for so long at most, and not at all while the store is known to be away."""
        with self._changed:
            return (
                self._changed.wait_for(lambda: self._down or not self._unsent(), timeout_s) and not self._down
            )

    def release(self, sending: Sending, timeout_s: float) -> None:
        """Send the rest, where that goes within so long; otherwise leave it in the spool for anybody."""
        with self._changed:
            if sending not in self._sendings:
                return
            sending.complete = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: sending.gone or self._down, timeout_s)
            sending.given_up = True
            # A call that is under way ends with MLflow's timeout; two must not send one journal.
            self._changed.wait_for(lambda: not sending.busy)
            if not sending.gone:
                self._sendings.remove(sending)
                sending.journal.close()

    def close(self) -> None:
        """End the thread; what is not sent stays in the spool."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _unsent(self) -> list[Sending]:
        return [s for s in self._sendings if s.complete or not s.is_sent()]

    def _work(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._unsent())
                if self._over:
                    return
                unsent = self._unsent()
            failed = sum(not self._send(sending) for sending in unsent)
            with self._changed:
                self._down = failed > 0
                self._changed.notify_all()
                if self._down:
                    self._changed.wait_for(lambda: self._over, wait)
            wait = FIRST_WAIT_S if not failed else min(2 * wait, LONGEST_WAIT_S)

    def _send(self, sending: Sending) -> bool:
        with self._changed:
            if sending.given_up:
                return True
            sending.busy, complete = True, sending.complete
        sent = False
        try:
            from sweep.tracking.delivery import send

            with impatient():
                send(self._tracker, sending, self._linked)
            sent = True
        except Exception as error:  # whatever a client of a dead server, or a full disk, raises
            if not self._down:
                warn(f"the tracking store does not take what is written; it waits in the spool: {error}")
        finally:
            with self._changed:
                sending.busy = False
                if sent and complete and sending.is_sent():
                    sending.journal.delete()
                    sending.gone = True
                    self._sendings.remove(sending)
                self._changed.notify_all()
        return sent


def send_waiting(spool: Path, tracker: Tracker, linked: Linked, keys: Iterable[str] | None = None) -> int:
    """Send the journals that nobody else writes or sends; returns how many there were.

    Raises what the client raises while the store is away; what was not sent stays.
    """
    from sweep.tracking.delivery import send

    count = 0
    for key in journals.waiting(spool) if keys is None else keys:
        try:
            journal = Journal(spool, key, timeout_s=0, must_exist=True)
        except (JournalBusyError, FileNotFoundError):
            continue
        try:
            send(tracker, Sending(journal), linked)
            journal.delete()
        finally:
            journal.close()
        count += 1
    return count


PERIOD_S = 5.0
LAST_S = 30.0
"""At the end, how long a delivery that is under way may take; what is left then stays in the spool."""


class Postman:
    """Within `with`, a thread; each journal is left alone for as long as its writer is alive."""

    def __init__(self, spool: Path, tracker: Tracker, linked: Linked) -> None:
        self.spool, self.tracker, self.linked = spool, tracker, linked
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Postman":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        # Stopped by an error, or by somebody who insists, it does not wait for what can be sent later.
        self._thread.join(timeout=LAST_S if kind is None else PERIOD_S)
        if kind is None and not self._thread.is_alive():
            self._deliver()

    def _deliver(self) -> None:
        """Send what there is and nobody else sends."""
        with contextlib.suppress(Exception):  # the store is away: it waits
            send_waiting(self.spool, self.tracker, self.linked)

    def _work(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._deliver()
