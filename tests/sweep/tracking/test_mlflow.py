"""The tracker that writes to MLflow: as MLflow itself reads it, within its limits, and not held up by it."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import Image

from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.journal import waiting
from sweep.tracking.run import Run
from sweep.tracking.sender import Sender
from sweep.tracking.trackers import NOTE, PARENT, SOURCE, RefusedError
from sweep.tracking.trackers.mlflow import Store, browsed_at
from tests.conftest import ROOT
from tests.sweep.conftest import Prepared


@pytest.fixture
def home(tmp_path: Path, prepared: Prepared) -> Home:
    prepared.fill(tmp_path / "home")
    return Home(tmp_path / "home").create()


@pytest.fixture
def tracker(home: Home) -> Store:
    tracker = trackers.build(home)
    assert isinstance(tracker, Store)
    return tracker


@pytest.fixture
def run_id(tracker: Store, experiment: str) -> str:
    tags = {PARENT: "p", NOTE: "why", SOURCE: "sweep run", "outcome": "running"}
    return tracker.create(experiment, "tiny.0.abcd", "trial 000", tags, 1000)


def test_mlflow_has_the_tags_that_its_pages_know(home: Home, tracker: Store, run_id: str) -> None:
    run = mlflow.MlflowClient(home.mlflow_url).get_run(run_id)
    assert run.data.tags["mlflow.parentRunId"] == "p"
    assert run.data.tags["mlflow.note.content"] == "why"
    assert run.data.tags["mlflow.source.name"] == "sweep run"
    stored = tracker.run(run_id)
    assert stored is not None
    assert (stored.tags[PARENT], stored.tags[NOTE], stored.tags["outcome"]) == ("p", "why", "running")


def test_what_it_reads_is_what_mlflow_has(home: Home, tracker: Store, run_id: str) -> None:
    client = mlflow.MlflowClient(home.mlflow_url)
    client.log_metric(run_id, "loss", 0.5, timestamp=7, step=3)
    client.log_param(run_id, "lr", 0.1)
    client.set_terminated(run_id, "FAILED", end_time=9)
    run = tracker.run(run_id)
    assert run is not None
    assert (run.latest, run.params, run.status) == ({"loss": (3, 0.5)}, {"lr": "0.1"}, "FAILED")
    assert tracker.history(run_id, "loss") == [(3, 0.5)]


def test_more_than_a_batch_is_written_whole(tracker: Store, run_id: str) -> None:
    tracker.params(run_id, {f"p{n}": str(n) for n in range(150)})
    tracker.tags(run_id, {f"t{n}": str(n) for n in range(150)})
    tracker.metrics(run_id, [("loss", 1.0, 0, step) for step in range(1500)])
    run = tracker.run(run_id)
    assert run is not None
    assert len(run.params) == 150
    assert len([tag for tag in run.tags if tag.startswith("t")]) == 150
    assert len(tracker.history(run_id, "loss")) == 1500


def test_a_picture_sent_twice_is_one_of_its_grid(
    home: Home, tracker: Store, run_id: str, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (600, 300)).save(picture)
    for _ in range(2):
        tracker.image(run_id, "sample/pictures", 20, picture)
    client = mlflow.MlflowClient(home.mlflow_url)
    names = [Path(file.path).name for file in client.list_artifacts(run_id, "images")]
    assert len(names) == 2
    assert all(name.startswith("sample~pictures+step+20+timestamp+20+") for name in names)
    small = next(name for name in names if name.endswith("+compressed.webp"))
    with Image.open(client.download_artifacts(run_id, f"images/{small}", str(tmp_path))) as preview:
        assert preview.size == (256, 128)
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"


def test_a_write_that_can_never_succeed_is_refused(tracker: Store, run_id: str) -> None:
    tracker.params(run_id, {"lr": "0.1"})
    with pytest.raises(RefusedError):
        tracker.params(run_id, {"lr": "0.2"})


def test_a_deleted_run_is_not_there(home: Home, tracker: Store, run_id: str, experiment: str) -> None:
    mlflow.MlflowClient(home.mlflow_url).delete_run(run_id)
    assert tracker.run(run_id) is None
    assert tracker.find(experiment, "tiny.0.abcd") is None


@pytest.mark.parametrize(
    ("tracking", "address"),
    [
        (None, "http://127.0.0.1:5000"),
        ("sqlite:////data/mlflow.db", "http://127.0.0.1:5000"),
        ("http://runs.example:8080/", "http://runs.example:8080"),
        ("https://somebody:s3cret@runs.example/mlflow", "https://runs.example/mlflow"),
    ],
)
def test_runs_are_linked_where_they_are_browsed(tmp_path: Path, tracking: str | None, address: str) -> None:
    assert browsed_at(Home(tmp_path, tracking=tracking)) == address


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_does_not_answer_holds_nothing_up(home: Home, silent_server: str) -> None:
    tracker = trackers.build(Home(home.root, tracking=silent_server))
    run = Run(home.spool, "tiny.0.abcd", Sender(tracker, lambda *_: None))

    def seconds(work: Callable[[], Any]) -> float:
        began = time.monotonic()
        work()
        return time.monotonic() - began

    assert seconds(lambda: run.open("1", "trial 000", {})) < 1
    for step in range(20):
        run.metric("loss", 1.0, step)
        assert seconds(run.flush) < 1
    assert seconds(run.end) < 10  # one call under way, which ends with MLflow's own timeout
    assert waiting(home.spool) == ["tiny.0.abcd"]


def test_no_trial_waits_for_the_import_of_mlflow(tmp_path: Path) -> None:
    """All that a worker and the supervisor import before they train; the sender's thread imports the rest."""
    code = f"""
import sys
from pathlib import Path
from sweep.cli import doctor
from sweep.engine import join, replay, run, supervisor, trial, worker
from sweep.recovery import reconcile
from sweep.report import write
from sweep.store.home import Home
from sweep.tracking import registration, trackers
from sweep.tracking.sender import Sender
Sender(trackers.build(Home(Path({str(tmp_path)!r}))), print)
assert "mlflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_two_runs_that_name_new_data_at_once_both_have_it(home: Home, experiment: str) -> None:
    """As the first runs of a block do, whose split no other run has."""
    together = threading.Barrier(2)

    def name_data(store: trackers.Tracker) -> list[str]:
        runs = []
        for number in range(15):
            runs.append(store.create(experiment, f"{id(store)}-{number}", "a run", {}, 0))
            together.wait(timeout=60)
            store.dataset(runs[-1], "sample", f"digest {number}", "{}", "{}", "training")
        return runs

    with ThreadPoolExecutor(2) as pool:
        runs = [
            run for found in pool.map(name_data, [trackers.build(home) for _ in range(2)]) for run in found
        ]
    client = mlflow.MlflowClient(home.mlflow_url)
    assert all(len(client.get_run(run).inputs.dataset_inputs) == 1 for run in runs)
