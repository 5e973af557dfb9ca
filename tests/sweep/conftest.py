"""Studies to interrupt, what must hold of their stores afterwards, and trial stores of both kinds."""

import array
import contextlib
import fcntl
import io
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import psutil
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from filelock import FileLock
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

STUDY = str(Path(__file__).parent / "engine" / "tiny_study.py")
RUN = ("run", STUDY, "--scale", "smoke", "--device", "cpu")
TRACKERS = trackers.TRACKERS.names
EACH_TRACKER = [
    pytest.param(name, marks=pytest.mark.slow if name == DEFAULT_TRACKER else ()) for name in TRACKERS
]
"""Every process that records in MLflow imports it for two seconds: that is slow, and the others are not."""


def wait_until(true: Callable[[], object], timeout_s: float = 240, poll_s: float = 0.02) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(poll_s)


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


def hear(process: subprocess.Popen[str], words: str) -> None:
    """Wait until it says so; what it says from then on is left to read."""
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if words in line:
            return
    raise AssertionError("".join(heard))


def freeze(lab: Lab, worker: psutil.Process) -> None:
    """Stop it in mid-work, at a moment when it holds no lock that its parent may wait for."""
    database = lab.home / "optuna.db"
    with (
        FileLock(f"{database}.tiny.lock"),
        contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection,
    ):
        connection.execute("begin immediate")
        worker.suspend()
        wait_until(lambda: _is_stopped(worker), poll_s=0.001)  # it takes a while, in which locks can be taken
        connection.execute("rollback")


def _is_stopped(worker: psutil.Process) -> bool:
    """All of its threads."""
    threads = Path(f"/proc/{worker.pid}/task").glob("*/stat")
    return all(path.read_text().rpartition(")")[2].split()[0] == "T" for path in threads)


def checkpointed_at(lab: Lab) -> int:
    """When the first trial was, in ns; 0 before."""
    try:
        return (lab.home / "checkpoints/tiny/0/state.pt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def in_the_middle(lab: Lab, process: subprocess.Popen[str], after: int = 0) -> psutil.Process:
    """The only worker, frozen: the first trial has written a checkpoint since `after`, and is not over."""
    wait_until(lambda: checkpointed_at(lab) > after, poll_s=0.01)
    (worker,) = workers_of(process)
    freeze(lab, worker)
    return worker


def unread(worker: psutil.Process) -> int:
    """The bytes that wait in its stdin."""
    count = array.array("i", [0])
    with Path(f"/proc/{worker.pid}/fd/0").open("rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def kill_tree(pid: int) -> None:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children() if "sweep.engine.worker" in p.cmdline()]


def kill_at_random(process: subprocess.Popen[str], dice: random.Random) -> int:
    """A worker or two, or the parent, whose workers end with it. Returns how many processes that were."""
    try:
        workers = workers_of(process)
        chosen = dice.sample(workers, k=min(len(workers), dice.choice([1, 1, 2])))
        if dice.random() < 0.3:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return 1
        for worker in chosen:
            worker.kill()
        return len(chosen)
    except psutil.NoSuchProcess:
        return 0


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
