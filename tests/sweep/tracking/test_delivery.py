"""Journals: in order, each write once, whatever fails in between; and nobody waits for a dead server."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.delivery import Delivery, deliver
from sweep.tracking.journal import Journal, JournalBusyError, waiting
from sweep.tracking.run import Run, close_run
from sweep.tracking.sender import Postman, Sender, send_waiting
from sweep.tracking.trackers import StoredRun, Tracker
from tests.sweep.conftest import TRACKERS

KEY = "tiny.0.abcd"


class Flaky:
    """A tracker, or a client, whose n-th call fails, before or after the store has done it."""

    def __init__(self, target: Any, fails: int, after: bool) -> None:
        self.target, self.left, self.after = target, fails, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise ConnectionError("the server is away")
            answer = method(*args, **kwargs)
            if self.left == 0:
                raise ConnectionError("the answer was lost")
            return answer

        return call


def _flaky(tracker: Tracker, fails: int, after: bool) -> tuple[Tracker, Flaky]:
    """A tracker with one failing call: of MLflow's client, or else of its own methods."""
    if tracker.name == "mlflow":
        made: Any = trackers.build(tracker.home)
        made.client = Flaky(tracker.client, fails, after)  # type: ignore[attr-defined]
        return made, made.client
    flaky: Any = Flaky(tracker, fails, after)
    return flaky, flaky


class Away:
    """A tracker that does not answer, so that everything stays in the journal."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError("the server is away")


def _write(home: Home, experiment: str, steps: range, attempt: int = 0) -> None:
    assert home.tracker is not None
    away: Any = Away(home.tracker)
    run = Run(home.spool, KEY, Sender(away, lambda *_: None))
    run.open(experiment, "trial 000", {"outcome": "running"}, attempt=attempt, trial=("tiny", attempt))
    run.params({f"p{number}": number for number in range(150)})
    run.files({"series/steps.parquet": b"whole", "config.json": b"{}"})
    for step in steps:
        run.metric("loss", 1 / (step + 1), step)
        run.metric("broken", float("inf"), step)
        run.flush()
    run.image(Image.new("RGB", (8, 8)), "sample/pictures", steps[-1])
    run.tags({"outcome": f"budget {attempt}"})
    run.end(wait_s=0)


def _found(tracker: Tracker, experiment: str) -> StoredRun:
    run = tracker.find(experiment, KEY)
    assert run is not None
    return run


def _points(tracker: Tracker, run_id: str) -> list[tuple[int, float]]:
    return tracker.history(run_id, "loss")


def test_what_is_written_while_the_server_is_away_is_all_there_later(
    home: Home, tracker: Tracker, experiment: str
) -> None:
    _write(home, experiment, range(5))
    assert waiting(home.spool) == [KEY]
    linked: list[Any] = []
    assert send_waiting(home.spool, tracker, lambda *told: linked.append(told)) == 1
    run = _found(tracker, experiment)
    assert linked == [("tiny", 0, run.id)]
    assert run.status == "FINISHED"
    assert run.tags["outcome"] == "budget 0"
    assert len(run.params) == 150
    assert _points(tracker, run.id) == [(step, 1 / (step + 1)) for step in range(5)]
    assert "broken" not in run.metrics
    assert tracker.artifact(run.id, "series/steps.parquet") == b"whole"
    assert tracker.artifact(run.id, "config.json") == b"{}"
    assert list(home.spool.iterdir()) == []


def test_hundreds_of_epochs_are_sent_in_few_calls(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(1500))
    watched, calls = _flaky(tracker, 0, after=False)
    assert send_waiting(home.spool, watched, lambda *_: None) == 1
    run = _found(tracker, experiment)
    assert sorted(_points(tracker, run.id)) == [(step, 1 / (step + 1)) for step in range(1500)]
    assert -calls.left < 30


def test_a_study_that_ends_waits_for_the_delivery_that_is_under_way(
    home: Home, tracker: Tracker, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(home, experiment, range(5))
    monkeypatch.setattr("sweep.tracking.sender.PERIOD_S", 0.01)
    begun = threading.Event()
    postman = Postman(home.spool, tracker, lambda *_: None)
    real = tracker.metrics

    def slow(*args: Any, **kwargs: Any) -> None:
        begun.set()
        assert postman._over.wait(120)  # the study has ended meanwhile
        real(*args, **kwargs)

    monkeypatch.setattr(tracker, "metrics", slow)
    with postman:
        assert begun.wait(120)
    assert waiting(home.spool) == []


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but the answer lost"])
def test_a_journal_that_fails_at_any_call_is_sent_once(
    home: Home, tracker: Tracker, experiment: str, after: bool
) -> None:
    fails = 0
    failed = True
    while failed:
        fails += 1
        _write(home, experiment, range(3))
        flaky, _ = _flaky(tracker, fails, after)
        try:
            failed = send_waiting(home.spool, flaky, lambda *_: None) == 0
        except ConnectionError:
            assert send_waiting(home.spool, tracker, lambda *_: None) == 1
        run = _found(tracker, experiment)
        assert _points(tracker, run.id) == [(step, 1 / (step + 1)) for step in range(3)]
        assert len(_pictures(home)) == (2 if tracker.name == "mlflow" else 1)
        assert run.status == "FINISHED"
        assert len(_runs(home)) == 1, fails
    assert fails > 10


def _runs(home: Home) -> set[Path]:
    """The folders of the runs that have artifacts; W&B's are copies."""
    found = (path for path in home.root.rglob("config.json") if home.spool not in path.parents)
    return {path.parent for path in found if "offline-run" not in str(path)}


def _pictures(home: Home) -> list[Path]:
    """MLflow has a small copy of each, too."""
    return [path for run in _runs(home) for path in run.rglob("images/**/*") if path.is_file()]


def test_the_same_delivery_goes_on_after_a_failure(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(4))
    delivery = Delivery(Journal(home.spool, KEY))
    for fails in range(1, 30):
        flaky, _ = _flaky(tracker, fails, after=True)
        try:
            deliver(flaky, delivery, lambda *_: None)
        except ConnectionError:
            continue
        break
    assert delivery.is_sent()
    delivery.journal.close()
    run = _found(tracker, experiment)
    assert _points(tracker, run.id) == [(step, 1 / (step + 1)) for step in range(4)]


def test_a_late_journal_adds_its_points_and_overrules_nothing(
    home: Home, tracker: Tracker, experiment: str, tmp_path: Path
) -> None:
    """Attempt 0 wrote steps 0-4 on a machine that lost its network; attempt 1 went on at step 3."""
    other = Home(tmp_path / "other", tracker=home.tracker).create()
    _write(other, experiment, range(5), attempt=0)
    _write(home, experiment, range(3, 8), attempt=1)
    send_waiting(home.spool, tracker, lambda *_: None)
    send_waiting(other.spool, tracker, lambda *_: None)
    run = _found(tracker, experiment)
    assert sorted(_points(tracker, run.id)) == [(step, 1 / (step + 1)) for step in range(8)]
    assert run.tags["outcome"] == "budget 1"


def test_a_torn_last_line_is_dropped_and_written_over(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(2))
    path = home.spool / f"{KEY}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"do": "metrics", "points": [["loss", 0.1')
    where = {"experiment": experiment, "name": "trial 000", "run_id": None, "attempt": 0, "trial": None}
    where["tracker"] = tracker.name
    close_run(home.spool, KEY, where, "FAILED", {"outcome": "crashed"}, {"error.txt": b"killed"})
    assert [json.loads(line)["do"] for line in path.read_text().splitlines()][-3:] == ["open", "files", "end"]
    send_waiting(home.spool, tracker, lambda *_: None)
    run = _found(tracker, experiment)
    assert (run.status, run.tags["outcome"]) == ("FAILED", "crashed")


def test_a_journal_has_one_writer_at_a_time(home: Home) -> None:
    journal = Journal(home.spool, KEY)
    with pytest.raises(JournalBusyError):
        Journal(home.spool, KEY, timeout_s=0.1)
    journal.delete()
    again = Journal(home.spool, KEY, timeout_s=0)
    assert again.path.exists()
    again.close()


def test_a_tracker_is_sent_its_own_journals_only(tmp_path: Path) -> None:
    homes = {name: Home(tmp_path / "home", tracker=name).create() for name in TRACKERS}
    for name, home in homes.items():
        away: Any = Away(name)
        run = Run(home.spool, f"{name}.0.abcd", Sender(away, lambda *_: None))
        run.open(trackers.build(home).experiment(name, ""), "trial 000", {})
        run.end(wait_s=0)
    for name, home in homes.items():
        assert waiting(home.spool, name) == [f"{name}.0.abcd"]
        assert send_waiting(home.spool, trackers.build(home), lambda *_: None) == 1
        assert waiting(home.spool, name) == []


def test_a_journal_of_a_version_that_had_one_tracker_is_sent(tmp_path: Path) -> None:
    """It names no tracker, gives the parent by MLflow's tag, and has pictures as files."""
    home = Home(tmp_path / "home").create()
    tracker = trackers.build(home)
    experiment = tracker.experiment("tiny", "A study.")
    opening = {"do": "open", "experiment": experiment, "name": "trial 000", "run_id": None, "attempt": 0}
    journal = Journal(home.spool, KEY)
    tags = {"mlflow.parentRunId": "p", "outcome": "running"}
    journal.append({**opening, "tags": tags, "trial": None, "time": 1})
    journal.append({"do": "metrics", "points": [["loss", 0.5, 1, 0]]})
    journal.append({"do": "files"}, {"images/a+step+0.png": b"picture"})
    journal.append({"do": "end", "status": "FINISHED", "time": 2})
    journal.close()
    assert waiting(home.spool, "files") == []
    assert send_waiting(home.spool, tracker, lambda *_: None) == 1
    (run,) = tracker.children(experiment, "p")
    assert (run.status, run.metrics, run.ended_ms) == ("FINISHED", {"loss": 0.5}, 2)
    assert tracker.artifact(run.id, "images/a+step+0.png") == b"picture"
