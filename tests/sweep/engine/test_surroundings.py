"""A run is not disturbed by what prints in its workers, by files beside it, or by a worker that hangs."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from tests.conftest import ROOT, run_module
from tests.sweep.conftest import RUN, Lab, Prepared
from tests.sweep.processes import wait_until, workers_of

LOUD = """
import os, sys
print("a banner on stdout")
os.write(1, b"{not json\\n")
os.system("echo from a child process")
"""
TINY = ("--trials", "2", "--workers", "1", "--tracker", "files")


def test_what_prints_in_a_worker_is_in_its_log_and_users_files_are_not_the_packages(
    tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, place, loud = tmp_path / "home", tmp_path / "place", tmp_path / "loud"
    prepared.fill(home, tracker="files")
    for folder in (place / "studies", place / "optuna_notes", loud):
        folder.mkdir(parents=True)
    for name in ("vae.py", "data_io.py", "studies/__init__.py"):
        (place / name).write_text("raise SystemExit('the file of the user')")
    (loud / "sitecustomize.py").write_text(LOUD)
    path = os.pathsep.join(filter(None, (str(loud), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    monkeypatch.setenv("MKL_VERBOSE", "1")
    done = run_module("sweep", *RUN, *TINY, home=home, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2/2]" in done.stdout
    (log,) = (home / "logs").glob("worker-*.log")
    told = log.read_text()
    assert "a banner on stdout" in told
    assert "{not json" in told
    assert "from a child process" in told
    assert "onednn_verbose" in told


def test_sigterm_ends_a_run_whose_worker_hangs(lab: Lab) -> None:
    process = lab.start(*RUN, "--set", "epochs=200", "--workers", "1", SWEEP_LEAVE_SECONDS="1")
    wait_until(lab.running)
    (worker,) = workers_of(process)
    worker.suspend()
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out
    assert not worker.is_running()
    assert [trial.state for trial in lab.trials()] == [TrialState.FAIL, TrialState.WAITING]


def test_events_that_cannot_be_read_end_the_worker_and_say_so(tmp_path: Path) -> None:
    from queue import Queue

    from sweep.engine.workers import Event, Worker

    program = "import os, sys, time; os.write(int(sys.argv[-1]), b'nonsense\\n'); time.sleep(600)"
    events: Queue[Event] = Queue()
    log = tmp_path / "worker.log"
    with pytest.MonkeyPatch.context() as patch:
        stand_in = tmp_path / "python"
        stand_in.write_text(f'#!/bin/sh\nfor last; do :; done\nexec {sys.executable} -c "{program}" $last\n')
        stand_in.chmod(0o755)
        patch.setattr("sys.executable", str(stand_in))
        worker = Worker(0, 1, None, log, events)
    event = events.get(timeout=60)
    assert (event.name, event.facts["code"]) == ("exit", -signal.SIGKILL)
    assert "cannot be read" in worker.last_words(5)
    worker.end()


def test_workers_end_when_their_parent_is_interrupted_while_it_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.engine import workers
    from sweep.engine.workers import Pool, Worker
    from sweep.store.home import Home

    started: list[Worker] = []
    start = Pool.start

    def interrupted(pool: Pool, number: int) -> Worker:
        if number == 1:
            raise KeyboardInterrupt
        started.append(start(pool, number))
        return started[-1]

    monkeypatch.setattr(workers, "available_cores", lambda: 3)
    monkeypatch.setattr(Pool, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), Pool(Home(tmp_path).create(), ["", ""], threads=1):
        pass
    assert [worker.process.poll() is not None for worker in started] == [True]


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (2, 1), (3, 2), (8, 3)])
def test_a_core_is_left_to_the_parent_until_it_has_prepared_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, at_once: int
) -> None:
    from sweep.engine import workers
    from sweep.engine.worker import Spec
    from sweep.store.home import Home

    monkeypatch.setattr(workers, "available_cores", lambda: cores)
    with workers.Pool(Home(tmp_path).create(), [""] * 3, threads=1) as pool:
        assert [worker.number for worker in pool.live] == list(range(at_once))
        monkeypatch.setattr(workers.Worker, "send_spec", lambda *_: None)
        pool.send_spec(Spec.model_construct())
        assert [worker.number for worker in pool.live] == [0, 1, 2]


@pytest.mark.parametrize("installed", [True, False])
def test_packages_that_are_not_installed_are_on_the_path_of_workers(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    from sweep.engine import workers

    monkeypatch.setenv("PYTHONPATH", "/more")
    place = str(ROOT) if installed else "/elsewhere"
    monkeypatch.setattr(workers.sysconfig, "get_path", lambda _: place)
    wanted = {} if installed else {"PYTHONPATH": os.pathsep.join([str(ROOT), "/more"])}
    assert workers.package_path() == wanted
