"""What every tracker keeps, by its own methods; and which one is chosen."""

from pathlib import Path

import optuna
import pytest

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.store.links import StudyLink, study_link
from sweep.tracking import trackers
from sweep.tracking.trackers import NOTE, PARENT, Tracker


def _made(tracker: Tracker, experiment: str, key: str = "tiny.0.abcd", **tags: str) -> str:
    return tracker.create(experiment, key, "trial 000", tags, 1000)


def test_an_experiment_is_made_once(home: Home, tracker: Tracker, experiment: str) -> None:
    assert tracker.experiment("tiny", "A study.") == experiment
    assert trackers.build(home).experiment("tiny", "A study.") == experiment
    assert tracker.experiment("other", "Another.") != experiment


def test_a_run_is_found_by_its_key_and_its_id_from_another_process(
    home: Home, tracker: Tracker, experiment: str
) -> None:
    assert tracker.find(experiment, "tiny.0.abcd") is None
    run_id = _made(tracker, experiment, outcome="running")
    _made(tracker, experiment, "tiny.1.abcd")
    again = trackers.build(home)
    found = again.find(experiment, "tiny.0.abcd")
    assert found is not None
    assert found == again.run(run_id)
    assert (found.id, found.name, found.status, found.started_ms) == (run_id, "trial 000", "RUNNING", 1000)
    assert (found.tags["run_key"], found.tags["outcome"]) == ("tiny.0.abcd", "running")
    assert again.run("0123456789abcdef0123456789abcdef") is None


def test_a_run_has_what_was_written_last(tracker: Tracker, experiment: str) -> None:
    run_id = _made(tracker, experiment, outcome="running", **{NOTE: "why"})
    for _ in range(2):  # each as if its answer had been lost
        tracker.params(run_id, {"lr": "0.1"})
        tracker.params(run_id, {"epochs": "3"})
        tracker.tags(run_id, {"outcome": "budget"})
        tracker.end(run_id, "FINISHED", 2000)
    run = tracker.run(run_id)
    assert run is not None
    assert run.params == {"lr": "0.1", "epochs": "3"}
    assert (run.tags["outcome"], run.tags[NOTE]) == ("budget", "why")
    assert (run.status, run.ended_ms) == ("FINISHED", 2000)
    tracker.reopen(run_id, "trial 001")
    run = tracker.run(run_id)
    assert run is not None
    assert (run.status, run.name) == ("RUNNING", "trial 001")


def test_a_metric_shows_its_value_at_the_last_step(tracker: Tracker, experiment: str) -> None:
    run_id = _made(tracker, experiment)
    tracker.metrics(run_id, [("loss", 3.0, 1, 0), ("loss", 1.0, 2, 5), ("kl", 0.25, 1, 0)])
    tracker.metrics(run_id, [("loss", 2.0, 3, 3)])  # late
    run = tracker.run(run_id)
    assert run is not None
    assert run.metrics == {"loss": 1.0, "kl": 0.25}
    assert run.last_steps == {"loss": 5, "kl": 0}
    assert sorted(tracker.history(run_id, "loss")) == [(0, 3.0), (3, 2.0), (5, 1.0)]
    assert tracker.history(run_id, "nothing") == []


def test_the_runs_below_a_study_are_listed_by_status(tracker: Tracker, experiment: str) -> None:
    parent = _made(tracker, experiment, "tiny.study.abcd")
    children = [_made(tracker, experiment, f"tiny.{n}.abcd", **{PARENT: parent}) for n in range(3)]
    _made(tracker, experiment, "tiny.9.abcd", **{PARENT: "another"})
    tracker.end(children[1], "FAILED", 2000)
    tracker.metrics(children[0], [("objective", 0.5, 1, 0)])
    listed = {run.id: run for run in tracker.children(experiment, parent)}
    assert set(listed) == set(children)
    assert listed[children[0]] == tracker.run(children[0])
    assert [run.id for run in tracker.children(experiment, parent, "FAILED")] == [children[1]]


def test_files_are_read_back_and_what_is_not_there_is_none(
    tracker: Tracker, experiment: str, tmp_path: Path
) -> None:
    run_id = _made(tracker, experiment)
    source = tmp_path / "source.bin"
    for content in (b"old", b"new"):
        source.write_bytes(content)
        tracker.file(run_id, "series/steps.parquet", source)
    assert source.exists()
    assert tracker.artifact(run_id, "series/steps.parquet") == b"new"
    assert tracker.artifact(run_id, "config.json") is None
    assert tracker.artifact("0123456789abcdef0123456789abcdef", "config.json") is None


def test_the_id_of_a_run_completes_its_address(tracker: Tracker, experiment: str) -> None:
    address = tracker.run_url(experiment) + _made(tracker, experiment)
    if address.startswith("file://"):
        assert (Path(address.removeprefix("file://")) / "run.json").exists()
    else:
        assert address.startswith("http://127.0.0.1:5000/#/experiments/")


def test_an_unknown_tracker_is_one_sentence_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        trackers.build(Home(tmp_path, tracker="flies"))
    known = ", ".join(trackers.TRACKERS.names)
    assert str(refused.value) == f"--tracker: there is no 'flies'; did you mean 'files'? (known: {known})"


def test_a_study_that_exists_keeps_its_tracker(tmp_path: Path) -> None:
    """A study of a version that had MLflow only names none."""
    old, new = (optuna.create_study(study_name=name) for name in ("old", "new"))
    home = Home(tmp_path, tracker="files")
    assert trackers.build(home, old).name == "files"  # it is only being made
    old.set_user_attr("mlflow_experiment_id", "1")
    old.set_user_attr("mlflow_run_id", "abc")
    link = StudyLink("files", "new", "new.study.abcd", "new.study.abcd")
    for key, value in link.as_attrs().items():
        new.set_user_attr(key, value)
    assert study_link(new) == link
    assert trackers.build(home, old).name == "mlflow"
    assert trackers.build(Home(tmp_path), new).name == "files"
    assert trackers.build(Home(tmp_path)).name == "mlflow"


def test_a_home_asks_for_the_tracker_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_TRACKER", raising=False)
    assert Home.find().tracker is None
    monkeypatch.setenv("SWEEP_TRACKER", "files")
    assert Home.find().tracker == "files"
    assert Home.find(tracker="mlflow").tracker == "mlflow"
