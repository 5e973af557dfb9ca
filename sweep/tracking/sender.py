"""Threads that send journals to a tracker (`sweep.tracking.delivery`), and try again while it is away.

What the tracker imports, such as mlflow, is imported in the sender's thread too: no trial waits for it, and
in a worker the first step of the first one has the processor to itself.
"""

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path

from sweep.store.links import LinkRun
from sweep.store.retry import impatient
from sweep.tracking import journal as journals
from sweep.tracking.delivery import Delivery, deliver, warn
from sweep.tracking.journal import Journal, JournalBusyError
from sweep.tracking.trackers import Tracker

PERIOD_S = 5.0
LAST_S = 30.0
"""How long a study that ends waits for a delivery that is under way; what is left stays in the spool."""
MOST_LEFT = 100
"""So many journals of runs that have ended wait for one sender; each has an open file."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


class Sender:
    """A thread that sends the journals of this process, and tries again while the store is away.

    begun: whether it sends at once; else from `begin` on, or when somebody waits for a delivery.
    """

    def __init__(self, tracker: Tracker, link: LinkRun, begun: bool = True) -> None:
        self.tracker, self._link = tracker, link
        self._deliveries: list[Delivery] = []
        self._changed = threading.Condition()
        self._down = False
        self._over = False
        self._begun = begun
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, journal: Journal) -> Delivery:
        """Send this journal from now on, as it grows."""
        delivery = Delivery(journal)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        return delivery

    def begin(self) -> None:
        """Send from now on."""
        if not self._begun:
            with self._changed:
                self._begun = True
                self._changed.notify_all()

    def wake(self) -> None:
        """A journal has grown."""
        with self._changed:
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is sent, `timeout_s` at most; returns whether it is.

        While the store is known to be away, this does not wait.
        """
        with self._changed:
            self._begun = True
            self._changed.notify_all()
            return (
                self._changed.wait_for(lambda: self._down or not self._unsent(), timeout_s) and not self._down
            )

    def release(self, delivery: Delivery, timeout_s: float) -> None:
        """Send the rest within `timeout_s`, or else leave it in the spool for any other process."""
        with self._changed:
            if delivery not in self._deliveries:
                return
            delivery.complete = True
            self._begun = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: delivery.gone or self._down, timeout_s)
            delivery.given_up = True
            # A call that is under way ends with the tracker's timeout; two must not send one journal.
            self._changed.wait_for(lambda: not delivery.busy)
            if not delivery.gone:
                self._deliveries.remove(delivery)
                delivery.journal.close()

    def leave(self, delivery: Delivery) -> None:
        """Send the rest while the caller goes on; it writes no more. Where the store is away, or too much
        waits to be sent already, the journal stays in the spool for any other process.
        """
        with self._changed:
            delivery.complete = True
            self._begun = True
            self._changed.notify_all()
            waits = sum(other.complete for other in self._deliveries)
            if not self._down and waits <= MOST_LEFT:
                return
        self.release(delivery, 0.0)

    def close(self, wait_s: float = PERIOD_S) -> None:
        """Send what was left to it, for `wait_s` at most, and end the thread. The rest stays in the spool."""
        with self._changed:
            left = [delivery for delivery in self._deliveries if delivery.complete]
            self._changed.wait_for(lambda: self._down or all(d.gone for d in left), wait_s)
        for delivery in left:
            self.release(delivery, 0.0)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _unsent(self) -> list[Delivery]:
        return [delivery for delivery in self._deliveries if delivery.complete or not delivery.is_sent()]

    def _work(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or (self._begun and self._unsent()))
                if self._over:
                    return
                unsent = self._unsent()
            failed = sum(not self._send(delivery) for delivery in unsent)
            with self._changed:
                self._down = failed > 0
                self._changed.notify_all()
                if self._down:
                    self._changed.wait_for(lambda: self._over, wait)
            wait = FIRST_WAIT_S if not failed else min(2 * wait, LONGEST_WAIT_S)

    def _send(self, delivery: Delivery) -> bool:
        with self._changed:
            if delivery.given_up:
                return True
            delivery.busy, complete = True, delivery.complete
        sent = False
        try:
            with impatient():
                deliver(self.tracker, delivery, self._link)
            sent = True
        except Exception as error:  # whatever the client of a dead server, or a full disk, raises
            if not self._down:
                warn(f"the tracking store does not answer; what is to be written waits in the spool: {error}")
        finally:
            with self._changed:
                delivery.busy = False
                if sent and complete and delivery.is_sent():
                    delivery.journal.delete()
                    delivery.gone = True
                    self._deliveries.remove(delivery)
                self._changed.notify_all()
        return sent


def send_waiting(spool: Path, tracker: Tracker, link: LinkRun, keys: Iterable[str] | None = None) -> int:
    """Send the tracker's journals that no other process writes or sends; returns how many there were.

    Raises:
        Exception: what the tracker raises while its store is away; what was not sent stays.
    """
    count = 0
    for key in journals.waiting(spool, tracker.name) if keys is None else keys:
        try:
            journal = Journal(spool, key, timeout_s=0, must_exist=True)
        except (JournalBusyError, FileNotFoundError):
            continue
        try:
            deliver(tracker, Delivery(journal), link)
            journal.delete()
        finally:
            journal.close()
        count += 1
    return count


class Postman:
    """Within `with`, a thread that sends the journals of dead processes; a live writer's is left to it."""

    def __init__(self, spool: Path, tracker: Tracker, link: LinkRun) -> None:
        self.spool, self.tracker, self.link = spool, tracker, link
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Postman":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        # After an error, or a second Ctrl-C, it does not wait for what can be sent later.
        self._thread.join(timeout=LAST_S if kind is None else PERIOD_S)
        if kind is None and not self._thread.is_alive():
            self._deliver()

    def _deliver(self) -> None:
        with contextlib.suppress(Exception):  # the store is away: the journals wait
            send_waiting(self.spool, self.tracker, self.link)

    def _work(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._deliver()
