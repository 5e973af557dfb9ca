"""Journals: in order, each write once, whatever fails in between; and nobody waits for a dead server."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sweep.store.home import Home
from sweep.tracking.client import Tracker
from sweep.tracking.delivery import send
from sweep.tracking.journal import Journal, JournalBusyError, waiting
from sweep.tracking.outbox import Sending
from sweep.tracking.run import Run, close_run
from sweep.tracking.sender import Postman, Sender, send_waiting

KEY = "tiny.0.abcd"


class Flaky:
    """A client whose n-th call fails, before or after the store has done it."""

    def __init__(self, client: Any, fails: int, after: bool) -> None:
        self.client, self.left, self.after = client, fails, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise ConnectionError("the server is away")
            answer = method(*args, **kwargs)
            if self.left == 0:
                raise ConnectionError("the answer was lost")
            return answer

        return call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


@pytest.fixture
def tracker(home: Home) -> Tracker:
    return Tracker(home)


@pytest.fixture
def experiment(tracker: Tracker) -> str:
    return tracker.experiment("tiny", "A study.")


def _never_sent(home: Home) -> Sender:
    """A sender whose server is away, so that everything stays in the journal."""

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("the server is away")

    return Sender(Away(), lambda *_: None)  # type: ignore[arg-type]


def _write(home: Home, experiment: str, steps: range, attempt: int = 0) -> None:
    run = Run(home.spool, KEY, _never_sent(home))
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


def _points(tracker: Tracker, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in tracker.client.get_metric_history(run_id, key)]


def test_what_is_written_while_the_server_is_away_is_all_there_later(
    home: Home, tracker: Tracker, experiment: str
) -> None:
    _write(home, experiment, range(5))
    assert waiting(home.spool) == [KEY]
    linked: list[Any] = []
    assert send_waiting(home.spool, tracker, lambda *told: linked.append(told)) == 1
    run = tracker.find(experiment, KEY)
    assert run is not None
    assert linked == [("tiny", 0, run.info.run_id)]
    assert run.info.status == "FINISHED"
    assert run.data.tags["outcome"] == "budget 0"
    assert len(run.data.params) == 150
    assert _points(tracker, run.info.run_id) == [(step, 1 / (step + 1)) for step in range(5)]
    assert "broken" not in run.data.metrics
    files = {f.path for f in tracker.client.list_artifacts(run.info.run_id)}
    assert files == {"series", "config.json", "images"}
    assert list(home.spool.iterdir()) == []


def test_hundreds_of_epochs_are_sent_in_few_calls(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(1500))
    real = tracker.client
    counting = Flaky(real, 0, after=False)
    tracker.client = counting
    assert send_waiting(home.spool, tracker, lambda *_: None) == 1
    tracker.client = real
    run = tracker.find(experiment, KEY)
    assert run is not None
    assert sorted(_points(tracker, run.info.run_id)) == [(step, 1 / (step + 1)) for step in range(1500)]
    assert -counting.left < 30


def test_a_study_that_ends_waits_for_the_delivery_that_is_under_way(
    home: Home, tracker: Tracker, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(home, experiment, range(5))
    monkeypatch.setattr("sweep.tracking.postman.PERIOD_S", 0.01)
    begun = threading.Event()
    real = tracker.client.log_batch

    def slow(*args: Any, **kwargs: Any) -> None:
        begun.set()
        time.sleep(1)
        real(*args, **kwargs)

    monkeypatch.setattr(tracker.client, "log_batch", slow)
    with Postman(home.spool, tracker, lambda *_: None):
        assert begun.wait(20)
    assert waiting(home.spool) == []


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but the answer lost"])
def test_a_journal_that_fails_at_any_call_is_sent_once(
    home: Home, tracker: Tracker, experiment: str, after: bool
) -> None:
    real, fails = tracker.client, 0
    failed = True
    while failed:
        fails += 1
        _write(home, experiment, range(3))
        tracker.client = Flaky(real, fails, after)
        try:
            failed = send_waiting(home.spool, tracker, lambda *_: None) == 0
        except ConnectionError:
            tracker.client = real
            assert send_waiting(home.spool, tracker, lambda *_: None) == 1
        tracker.client = real
        found = real.search_runs([experiment])
        assert len(found) == 1, fails
        run_id = found[0].info.run_id
        assert _points(tracker, run_id) == [(step, 1 / (step + 1)) for step in range(3)]
        images = [f.path for f in real.list_artifacts(run_id, "images")]
        assert len(images) == 2, images
        assert found[0].info.status == "FINISHED"
    assert fails > 10


def test_the_same_sending_goes_on_after_a_failure(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(4))
    real = tracker.client
    sending = Sending(Journal(home.spool, KEY))
    for fails in range(1, 30):
        tracker.client = Flaky(real, fails, after=True)
        try:
            send(tracker, sending, lambda *_: None)
        except ConnectionError:
            continue
        break
    sending.journal.close()
    run = tracker.find(experiment, KEY)
    assert run is not None
    assert _points(tracker, run.info.run_id) == [(step, 1 / (step + 1)) for step in range(4)]


def test_a_late_journal_adds_its_points_and_overrules_nothing(
    home: Home, tracker: Tracker, experiment: str, tmp_path: Path
) -> None:
    """Attempt 0 wrote steps 0-4 on a machine that lost its network; attempt 1 went on at step 3."""
    other = Home(tmp_path / "other").create()
    _write(other, experiment, range(5), attempt=0)
    _write(home, experiment, range(3, 8), attempt=1)
    send_waiting(home.spool, tracker, lambda *_: None)
    send_waiting(other.spool, tracker, lambda *_: None)
    run = tracker.find(experiment, KEY)
    assert run is not None
    assert sorted(_points(tracker, run.info.run_id)) == [(step, 1 / (step + 1)) for step in range(8)]
    assert run.data.tags["outcome"] == "budget 1"


def test_a_torn_last_line_is_dropped_and_written_over(home: Home, tracker: Tracker, experiment: str) -> None:
    _write(home, experiment, range(2))
    path = home.spool / f"{KEY}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"do": "metrics", "points": [["loss", 0.1')
    where = {"experiment": experiment, "name": "trial 000", "run_id": None, "attempt": 0, "trial": None}
    close_run(home.spool, KEY, where, "FAILED", {"outcome": "crashed"}, {"error.txt": b"killed"})
    assert [json.loads(line)["do"] for line in path.read_text().splitlines()][-3:] == ["open", "files", "end"]
    send_waiting(home.spool, tracker, lambda *_: None)
    run = tracker.find(experiment, KEY)
    assert run is not None
    assert (run.info.status, run.data.tags["outcome"]) == ("FAILED", "crashed")


def test_a_journal_has_one_writer_at_a_time(home: Home) -> None:
    journal = Journal(home.spool, KEY)
    with pytest.raises(JournalBusyError):
        Journal(home.spool, KEY, timeout_s=0.1)
    journal.delete()
    again = Journal(home.spool, KEY, timeout_s=0)
    assert again.path.exists()
    again.close()


@pytest.fixture
def silent_server() -> Any:
    """Takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_does_not_answer_holds_nothing_up(home: Home, silent_server: str) -> None:
    tracker = Tracker(Home(home.root, tracking=silent_server))
    run = Run(home.spool, KEY, Sender(tracker, lambda *_: None))

    def seconds(work: Callable[[], object]) -> float:
        began = time.monotonic()
        work()
        return time.monotonic() - began

    assert seconds(lambda: run.open("1", "trial 000", {})) < 1
    for step in range(20):
        run.metric("loss", 1.0, step)
        assert seconds(run.flush) < 1
    assert seconds(run.end) < 10  # one call under way, which ends with MLflow's own timeout
    assert waiting(home.spool) == [KEY]
