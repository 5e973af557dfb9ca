"""Studies to interrupt, what must hold of their stores afterwards, and trial stores of both kinds."""

import io
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from data_io import prepare
from sweep.recovery import attempts, heartbeat
from sweep.store.home import Home
from sweep.store.links import DEFAULT_TRACKER
from sweep.store.optuna_internals import engine_of
from sweep.store.storage import open_optuna
from sweep.tracking import trackers
from sweep.tracking.trackers import StoredRun, Tracker
from tests.conftest import ROOT, run_here
from tests.sweep.engine.tiny_study import BASE
from tests.sweep.processes import kill_tree

STUDY = str(Path(__file__).parent / "engine" / "tiny_study.py")
RUN = ("run", STUDY, "--scale", "smoke", "--device", "cpu")
TRACKERS = trackers.TRACKERS.names
EACH_TRACKER = [pytest.param(name, marks=() if name == "files" else pytest.mark.slow) for name in TRACKERS]
"""Every process that records in MLflow or in W&B imports it for two seconds, which is slow."""


@dataclass
class Lab:
    """A home, the commands given in it, and its stores read without the program under test."""

    home: Path
    storage: str
    tracking: str
    settings: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    study: optuna.Study | None = None

    @classmethod
    def of(cls, home: Path, **settings: str) -> "Lab":
        storage = settings.get("SWEEP_STORAGE", f"sqlite:///{home / 'optuna.db'}")
        tracking = settings.get("SWEEP_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        return cls(home, storage, tracking, settings)

    def start(self, *words: str, home: Path | None = None, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sweep", *words],
            env=os.environ | {"SWEEP_HOME": str(home or self.home)} | self.settings | env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """No process outlives its test."""
        for process in self.started:
            if process.poll() is None:
                kill_tree(process.pid)
            assert process.stdout is not None
            if not process.stdout.closed:  # its test has not heard it out
                process.communicate()
        self.forget()

    def sweep(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command given in this process; the workers of a `run` are processes of their own all the same."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.settings | env).items():
                patch.setenv(name, value)
            done = run_here(*words, home=Path(env.get("SWEEP_HOME", self.home)))
        done.stdout += done.stderr
        return done

    def run(self, *words: str, **env: str) -> str:
        """A `run` that succeeds; what it said."""
        done = self.sweep(*RUN, *words, **env)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def trials(self) -> list[FrozenTrial]:
        """None while the program is still making the store: opening it would interfere."""
        if self.study is None:
            if not self._has_study():
                return []
            # No connection is kept: a test that cuts those of its database would cut its own.
            settings = {"poolclass": sqlalchemy.NullPool}
            store = optuna.storages.RDBStorage(self.storage, engine_kwargs=settings)
            self.study = optuna.load_study(study_name="tiny", storage=store)
        return self.study.get_trials(deepcopy=False)

    def forget(self) -> None:
        """What Optuna remembers of finished trials."""
        if self.study is not None:
            engine_of(self.study).dispose()
        self.study = None

    def _has_study(self) -> bool:
        if self.storage.startswith("sqlite") and not (self.home / "optuna.db").exists():
            return False
        engine = sqlalchemy.create_engine(self.storage, poolclass=sqlalchemy.NullPool)
        try:
            with engine.connect() as connection:
                found = connection.execute(sqlalchemy.text("select 1 from trials")).first()
        except sqlalchemy.exc.SQLAlchemyError:
            return False
        return found is not None

    def running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state is TrialState.RUNNING]

    def finished(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]

    def client(self) -> Any:
        """MLflow's own, for what a tracker does not tell."""
        import mlflow

        return mlflow.MlflowClient(self.tracking)

    def tracker(self) -> Tracker:
        home = Home(self.home, tracking=self.settings.get("SWEEP_TRACKING_URI"))
        return trackers.build(replace(home, tracker=self.settings.get("SWEEP_TRACKER")))

    def run_of(self, trial: FrozenTrial) -> StoredRun:
        run = self.tracker().run(trial.user_attrs["mlflow_run_id"])
        assert run is not None
        return run

    def doctor(self, *words: str) -> dict[str, Any]:
        done = self.sweep("doctor", "--json", *words)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def series(self, trial: FrozenTrial, name: str = "steps") -> list[dict[str, float]]:
        """Of the trial's run, times aside."""
        content = self.tracker().artifact(trial.user_attrs["mlflow_run_id"], f"series/{name}.parquet")
        assert content is not None
        table = pq.read_table(io.BytesIO(content))
        return table.drop_columns([c for c in table.column_names if c.startswith("time/")]).to_pylist()

    def assert_whole(self, seeds: list[int], reference: "Lab | None" = None) -> None:
        """Every trial has one result, equal to the reference's; its run is whole; nothing is left over."""
        self.forget()
        finished = {trial.params["seed"]: trial for trial in self.finished()}
        assert sorted(t.params["seed"] for t in self.finished()) == sorted(seeds)
        assert all(trial.state.is_finished() for trial in self.trials())
        for trial in finished.values():
            run = self.run_of(trial)
            assert run.status == "FINISHED"
            assert run.tags["trial"] == str(trial.number)
            assert run.metrics.get("objective", math.inf) == trial.value
            assert [row["step"] for row in self.series(trial)] == list(range(trial.user_attrs["steps"]))
            history = {metric: self.tracker().history(run.id, metric) for metric in run.metrics}
            assert [step for step, _ in history["val/objective"]] == list(
                range(1, trial.user_attrs["epochs"] + 1)
            )
            assert all(len(points) == len(dict(points)) for points in history.values())
        if self.tracking.startswith("sqlite") and (self.home / "mlflow.db").exists():
            assert self.doubled_points() == []
        if reference is not None:
            undisturbed = {trial.params["seed"]: trial for trial in reference.finished()}
            for seed, mine in finished.items():
                trial = undisturbed[seed]
                assert mine.value == trial.value
                assert repr(self.series(mine)) == repr(reference.series(trial))
                assert repr(self.series(mine, "epochs")) == repr(reference.series(trial, "epochs"))
        assert self.doctor()["findings"] == []

    def doubled_points(self) -> list[Any]:
        query = "select run_uuid, key, step from metrics group by 1, 2, 3 having count(*) > 1"
        with sqlite3.connect(self.tracking.removeprefix("sqlite:///")) as connection:
            return connection.execute(query).fetchall()


def _make_mlflow(folder: Path) -> None:
    tracker: Any = trackers.build(Home(folder))
    assert tracker.client
    with sqlite3.connect(folder / "mlflow.db") as connection:  # all of it into the file that is copied
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


@dataclass(frozen=True)
class Prepared:
    """The tiny study's tiles and a tracking store without a run: making them takes longer than its trials."""

    made_once: Callable[..., Path]

    @property
    def tiles(self) -> Path:
        return self.made_once("tiny_tiles", lambda folder: prepare(BASE.data, folder))

    @property
    def mlflow(self) -> Path:
        return self.made_once("empty_mlflow", _make_mlflow) / "mlflow.db"

    def fill(self, home: Path, tracker: str = DEFAULT_TRACKER) -> None:
        """A machine's home, before anything is run in it."""
        shutil.copytree(self.tiles, home / "cache")
        if tracker == DEFAULT_TRACKER:
            shutil.copy(self.mlflow, home)


@pytest.fixture(scope="session")
def prepared(made_once: Callable[..., Path]) -> Prepared:
    return Prepared(made_once)


@pytest.fixture(scope="session")
def undisturbed(made_once: Callable[..., Path], prepared: Prepared) -> Lab:
    """Two trials of forty epochs, in `files`; tests only read it, or copy it."""

    def make(folder: Path) -> None:
        lab = make_lab(folder / "home", prepared, SWEEP_TRACKER="files")
        lab.run("--set", "epochs=40", "--workers", "1", "--trials", "2")

    return Lab.of(made_once("undisturbed", make) / "home", SWEEP_TRACKER="files")


@pytest.fixture
def labs(tmp_path: Path, prepared: Prepared) -> Iterator[Callable[..., Lab]]:
    """labs(name, **settings): one in that folder; all are ended with the test, however it goes."""
    made: list[Lab] = []

    def make(name: str, **settings: str) -> Lab:
        made.append(make_lab(tmp_path / name, prepared, **settings))
        return made[-1]

    yield make
    for lab in made:
        lab.end()


@pytest.fixture
def lab(labs: Callable[..., Lab]) -> Lab:
    """One whose tracker costs least, for what is the same with each."""
    return labs("home", SWEEP_TRACKER="files")


@pytest.fixture(params=EACH_TRACKER)
def lab_of_each(request: pytest.FixtureRequest, labs: Callable[..., Lab]) -> Lab:
    """A lab for every tracker."""
    return labs("home", SWEEP_TRACKER=request.param)


def make_lab(home: Path, prepared: Prepared, **settings: str) -> Lab:
    prepared.fill(home, settings.get("SWEEP_TRACKER", DEFAULT_TRACKER))
    return Lab.of(home, **settings)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """PostgreSQL."""
    from tests.sweep.servers import running_server

    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """One whose trials are in sqlite, and one whose trials are in PostgreSQL."""
    from tests.sweep.servers import database

    storage = None
    if request.param == "postgresql":
        storage = database(request.getfixturevalue("server"), tmp_path.name)
    return Home(tmp_path / "home", storage).create()


@pytest.fixture
def opened() -> Iterator[Callable[[Home], RDBStorage]]:
    """opened(home): the home's store, whose connections are closed in the end."""
    storages: list[RDBStorage] = []

    def open_it(home: Home) -> RDBStorage:
        storages.append(open_optuna(home))
        return storages[-1]

    yield open_it
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture
def study(home: Home, opened: Callable[[Home], RDBStorage]) -> optuna.Study:
    study = optuna.create_study(study_name="tiny", storage=opened(home))
    heartbeat.create_table(engine_of(study))
    return study


def claim(study: optuna.Study, owner: str, **attrs: Any) -> int:
    study.enqueue_trial({"x": 0.5}, user_attrs=attrs)
    trial = attempts.claim(study, owner)
    assert trial is not None
    return trial.number
