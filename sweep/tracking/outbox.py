"""How far a journal has been sent: the state that the sender and the delivery share."""

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.tracking.journal import Journal

Linked = Callable[[str, int, str], None]
"""Told the study, the trial's number and the id of its run."""


@dataclass
class Sending:
    """How far one journal was sent, and what is known of its run."""

    journal: Journal
    offset: int = 0
    run_id: str | None = None
    outranked: bool = False
    """A later attempt has taken the run over: tags and status are no longer this one's to write."""
    complete: bool = False
    """Its writer writes no more."""
    busy: bool = False
    given_up: bool = False
    """To be left in the spool as it is."""
    gone: bool = False
    """All sent, and deleted."""
    uncertain: bool = False
    """A write failed: it may have arrived all the same."""
    last_steps: dict[str, int] = field(default_factory=dict)
    steps: dict[str, set[int]] = field(default_factory=dict)

    def is_sent(self) -> bool:
        return self.offset >= self.journal.size()


def warn(text: str) -> None:
    """A line in the worker's log."""
    moment = time.strftime("%H:%M:%S")
    with contextlib.suppress(OSError):  # the log is on the full disk
        print(f"{moment} {' '.join(text.split())[:500]}", file=sys.stderr, flush=True)
