"""A home may be moved or copied: its artifacts are found where it is now, and are written there."""

import json
import shutil
from pathlib import Path

import pytest

from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.moved_home import follow_home
from sweep.tracking.trackers import Tracker
from tests.conftest import run_here

TEXT = b"found again"


def _tracker(root: Path) -> Tracker:
    return trackers.build(Home(root).create())


def _record(tracker: Tracker, experiment: str, tmp_path: Path) -> str:
    run = tracker.create(experiment, "key", "run", {}, 0)
    (tmp_path / "note.txt").write_bytes(TEXT)
    tracker.file(run, "notes/note.txt", tmp_path / "note.txt")
    return run


@pytest.mark.parametrize("names", [("old", "new"), ("a b%20c", "d?e#f")])
@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_artifacts_follow_a_home(tmp_path: Path, names: tuple[str, str], move: object) -> None:
    old, new = (tmp_path / name for name in names)
    tracker = _tracker(old)
    experiment = tracker.experiment("study", "a study")
    run = _record(tracker, experiment, tmp_path)
    assert callable(move)
    move(old, new)
    if old.exists():
        shutil.rmtree(old / "artifacts")
    moved = _tracker(new)
    assert moved.artifact(run, "notes/note.txt") == TEXT
    other = _record(moved, experiment, tmp_path)
    assert moved.artifact(other, "notes/note.txt") == TEXT
    assert len(list((new / "artifacts").rglob("note.txt"))) == 2
    assert not list(old.rglob("note.txt")), "nothing is written to the old place"
    stored = moved.run(run)
    assert stored is not None
    assert stored.folder is not None
    assert stored.folder.is_relative_to(new)


def test_an_experiment_whose_folder_is_elsewhere_keeps_its_place(tmp_path: Path) -> None:
    tracker = _tracker(tmp_path / "home")
    run = _record(tracker, tracker.experiment("study", "a study"), tmp_path)
    assert follow_home(tmp_path / "home/mlflow.db", tmp_path / "elsewhere") == 0
    assert tracker.artifact(run, "notes/note.txt") == TEXT


def test_a_store_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    assert follow_home(tmp_path / "mlflow.db", tmp_path) == 0
    (tmp_path / "mlflow.db").touch()
    assert follow_home(tmp_path / "mlflow.db", tmp_path) == 0


def test_a_copied_study_is_whole_and_lost_artifacts_are_told_once(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    shutil.copytree(smoke_home, home)
    assert json.loads(run_here("doctor", "--json", home=home).stdout)["findings"] == []
    report = json.loads(run_here("report", "depth_study", "--json", home=home).stdout)
    assert Path(report["path"]).is_relative_to(home)

    lost = next(
        folder
        for folder in (home / "artifacts/depth_study").iterdir()
        if (folder / "artifacts/series").exists()
    )
    shutil.rmtree(lost)
    (finding,) = json.loads(run_here("doctor", "--json", home=home).stdout)["findings"]
    assert finding["kind"] == "missing artifacts"
    assert str(lost) in finding["text"]
    run_here("doctor", "--fix", home=home)
    assert json.loads(run_here("doctor", "--json", home=home).stdout)["findings"] == []
