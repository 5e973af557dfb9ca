"""Sends in the background what dead processes, or an outage, left in the spool."""

import contextlib
import threading
from pathlib import Path

from sweep.tracking.client import Tracker
from sweep.tracking.sender import Linked, send_waiting

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
