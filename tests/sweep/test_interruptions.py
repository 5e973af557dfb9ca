"""Ctrl-C, killed workers and killed parents: nothing is left RUNNING, and `run` goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest
from optuna.trial import TrialState

from tests.conftest import ROOT, run_module

# Long enough to be caught in the middle of a trial, short enough to finish.
RUN = ("run", "depth_study", "--scale", "smoke", "--set", "epochs=12", "--workers", "2")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def running(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A study of 40 trials, its first trials under way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", *RUN, "--trials", "40"],
        env=os.environ | {"SWEEP_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if re.match(r"\[2/40\]", line):
            break
    yield process
    process.kill()
    process.communicate()


def _trials(home: Path) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name="depth_study", storage=f"sqlite:///{home / 'optuna.db'}")
    return study.get_trials(deepcopy=False)


def _assert_nothing_runs(home: Path) -> None:
    assert not [t for t in _trials(home) if t.state is TrialState.RUNNING]
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    assert list(client.search_runs(experiments, filter_string="attributes.status = 'RUNNING'")) == []


def test_ctrl_c_finishes_the_running_trials(home: Path, running: subprocess.Popen[str]) -> None:
    workers = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    _assert_nothing_runs(home)
    states = {t.state for t in _trials(home)}
    assert states == {TrialState.COMPLETE}
    assert not any(worker.is_running() for worker in workers)


def test_ctrl_c_twice_stops_now_and_run_takes_the_trials_up_again(
    home: Path, running: subprocess.Popen[str]
) -> None:
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    _assert_nothing_runs(home)
    before = _trials(home)
    waiting = [t.system_attrs["fixed_params"] for t in before if t.state is TrialState.WAITING]
    interrupted = [t.params for t in before if t.state is TrialState.FAIL]
    assert waiting == interrupted
    done = run_module("sweep", *RUN, "--trials", "2", home=home)
    assert done.returncode == 0, done.stderr
    finished = [t.params for t in _trials(home) if t.state is TrialState.COMPLETE]
    assert all(params in finished for params in interrupted)


def test_a_killed_worker_is_replaced_and_its_trial_run_again(
    home: Path, running: subprocess.Popen[str]
) -> None:
    workers = [p for p in psutil.Process(running.pid).children() if "sweep.worker" in p.cmdline()]
    assert len(workers) == 2
    # In the middle of a trial, not between two.
    while sum("mlflow_run_id" in t.user_attrs for t in _trials(home) if t.state is TrialState.RUNNING) < 2:
        time.sleep(0.05)
    workers[0].send_signal(signal.SIGKILL)
    assert running.stdout
    for line in running.stdout:
        if "SIGKILL" in line:
            break
    for line in running.stdout:
        if re.match(r"\[\d+/40\].*objective", line):
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    _assert_nothing_runs(home)
    trials = _trials(home)
    crashed = [t for t in trials if t.user_attrs.get("outcome") == "crashed"]
    assert len(crashed) == 1
    assert "SIGKILL" in crashed[0].user_attrs["reason"]
    again = [t for t in trials if t.user_attrs.get("retry_of") == crashed[0].number]
    assert len(again) == 1
    assert again[0].user_attrs["seed"] == crashed[0].user_attrs["seed"]


def test_a_killed_parent_takes_its_workers_along_and_run_mends_the_stores(
    home: Path, running: subprocess.Popen[str]
) -> None:
    workers = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    done = run_module("sweep", *RUN, "--trials", "3", home=home)
    assert done.returncode == 0, done.stderr
    _assert_nothing_runs(home)


def test_a_second_run_of_the_same_study_is_refused(home: Path, running: subprocess.Popen[str]) -> None:
    done = run_module("sweep", *RUN, "--trials", "1", home=home)
    assert done.returncode == 2
    assert "another process" in done.stderr
    assert running.poll() is None
