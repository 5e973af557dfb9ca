"""A home may have any name, and what cannot be a store is refused in one sentence."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.tracking import trackers

NAMES = ["a%20b", "50%", "a?b=c", "a#b", "a b", "it's", "é ü", "a@b:c", "a;b&c", "[x]", 'say "x"']


@pytest.mark.parametrize("name", NAMES)
def test_the_stores_of_a_home_are_in_it_whatever_its_name(
    tmp_path: Path, name: str, opened: Callable[[Home], RDBStorage]
) -> None:
    home = Home(tmp_path / name).create()
    optuna.create_study(study_name="s", storage=opened(home))
    with sqlite3.connect(home.root / "optuna.db") as stored:
        assert stored.execute("select study_name from studies").fetchall() == [("s",)]
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing is written beside it"


@pytest.mark.parametrize("name", ["a%20b", "a?b=c#d"])
def test_mlflow_writes_into_a_home_whatever_its_name(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name).create()
    tracker = trackers.build(home)
    experiment = tracker.experiment("s", "a study")
    run = tracker.create(experiment, "key", "run", {}, 0)
    (tmp_path / "note.txt").write_text("found again")
    tracker.file(run, "notes/note.txt", tmp_path / "note.txt")
    assert (home.root / "mlflow.db").exists()
    assert tracker.artifact(run, "notes/note.txt") == b"found again"
    assert list(home.artifacts.rglob("note.txt"))
    # MLflow makes an empty folder that has the name as it is in the URL.
    beside = [path for path in tmp_path.rglob("*") if path.is_file() and home.root not in path.parents]
    assert beside == [tmp_path / "note.txt"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost:5000", "http://"),
        ("tracker", "http://"),
        ("mlruns/mlflow.db", "sqlite:///"),
        ("file:///tmp/runs", "--tracker files"),
    ],
)
def test_what_cannot_be_a_tracking_store_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        Home.find(tracking=address)
    monkeypatch.setenv("SWEEP_TRACKING_URI", address)
    with pytest.raises(UserError, match=said):
        Home.find()


@pytest.mark.parametrize("address", ["http://tracker:5000", "https://u:p@host/base", "sqlite:////tmp/m.db"])
def test_addresses_of_stores_are_kept(address: str) -> None:
    assert Home.find(tracking=address).tracking == address
