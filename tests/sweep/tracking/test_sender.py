"""A run that is left to the sender: its writer goes on at once, and nothing of it is lost."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sweep.store.home import Home
from sweep.tracking import sender as senders
from sweep.tracking import trackers
from sweep.tracking.journal import waiting
from sweep.tracking.run import Run
from sweep.tracking.sender import Sender, send_waiting
from sweep.tracking.trackers import Tracker


class Gated:
    """A tracker that answers only once `opened` is set."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.opened = tracker, threading.Event()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.tracker, name)
        if not callable(value) or name == "find":
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            assert self.opened.wait(60)
            return value(*args, **kwargs)

        return call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tracker="files").create()


def ended(home: Home, experiment: str, number: int, sender: Sender) -> Run:
    run = Run(home.spool, f"tiny.{number}.abcd", sender)
    run.open(experiment, f"trial {number:03d}", {"outcome": "running"})
    run.metric("loss", 0.5)
    run.end(wait_s=None)
    run.release()  # as a trial does at its end, however it ended
    return run


def test_runs_that_ended_are_sent_while_their_writer_goes_on(home: Home) -> None:
    tracker = trackers.build(home)
    experiment = tracker.experiment("tiny", "")
    slow: Any = Gated(tracker)
    sender = Sender(slow, lambda *_: None)
    began = time.monotonic()
    for number in range(5):
        ended(home, experiment, number, sender)
    assert time.monotonic() - began < 2.0
    assert len(waiting(home.spool)) == 5
    slow.opened.set()
    sender.close(wait_s=30.0)
    assert waiting(home.spool) == []
    runs = [tracker.find(experiment, f"tiny.{number}.abcd") for number in range(5)]
    assert [run.status for run in runs if run is not None] == ["FINISHED"] * 5


def test_what_is_not_sent_when_the_sender_ends_is_left_to_others(home: Home) -> None:
    tracker = trackers.build(home)
    experiment = tracker.experiment("tiny", "")
    slow: Any = Gated(tracker)
    sender = Sender(slow, lambda *_: None)
    for number in range(3):
        ended(home, experiment, number, sender)
    closing = threading.Thread(target=sender.close, args=(0.1,))
    closing.start()
    time.sleep(0.3)
    slow.opened.set()  # the call that is under way ends, and two never send one journal
    closing.join(30)
    assert not closing.is_alive()
    send_waiting(home.spool, tracker, lambda *_: None)
    assert waiting(home.spool) == []
    runs = [tracker.find(experiment, f"tiny.{number}.abcd") for number in range(3)]
    assert [run.status for run in runs if run is not None] == ["FINISHED"] * 3


def test_a_sender_that_cannot_keep_up_holds_few_journals(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "MOST_LEFT", 2)
    tracker = trackers.build(home)
    experiment = tracker.experiment("tiny", "")
    sender = Sender(tracker, lambda *_: None, begun=False)
    sender._send = lambda delivery: time.sleep(0.01) or True  # type: ignore[method-assign, func-returns-value]
    for number in range(6):
        ended(home, experiment, number, sender)
    assert len(sender._deliveries) <= 2
    assert len(waiting(home.spool)) == 6
    assert send_waiting(home.spool, tracker, lambda *_: None) >= 4
    sender.close(wait_s=0.0)
    send_waiting(home.spool, tracker, lambda *_: None)
    assert waiting(home.spool) == []
