"""A trial that was cut off goes on from its checkpoint, in its run, as if nothing had been."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, Lab, make_lab, wait_until, workers_of

LONG = ("--set", "epochs=30", "--workers", "1")
"""Some seconds of training: time to be caught in the middle."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Lab:
    lab = make_lab(tmp_path_factory.mktemp("undisturbed") / "home", prepared)
    lab.run(*LONG, "--trials", "1")
    return lab


def _in_the_middle(lab: Lab) -> None:
    """The first trial has written a checkpoint, and has a while to go."""
    wait_until((lab.home / "checkpoints/tiny/0/state.pt").exists, poll_s=0.01)


def _kill_worker(process: subprocess.Popen[str]) -> None:
    workers_of(process)[0].kill()


def _stop_now(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


def _kill_all(process: subprocess.Popen[str]) -> None:
    workers = workers_of(process)
    process.kill()
    for worker in workers:
        worker.kill()


@pytest.mark.parametrize(
    ("cut_off", "code", "outcome", "retries"),
    [
        (_kill_worker, 0, "crashed", 1),
        (_stop_now, 143, "interrupted", 0),
        (_kill_all, -signal.SIGKILL, "lost", 1),
    ],
)
def test_a_trial_that_was_cut_off_goes_on_in_its_run(
    lab_of_each: Lab,
    undisturbed: Lab,
    cut_off: Callable[[subprocess.Popen[str]], None],
    code: int,
    outcome: str,
    retries: int,
) -> None:
    lab = lab_of_each
    process = lab.start(*RUN, *LONG, "--trials", "1")
    _in_the_middle(lab)
    cut_off(process)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    if code:
        lab.run(*LONG)
    first, second = lab.trials()
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert first.user_attrs["outcome"] == outcome
    assert (second.user_attrs["retry_of"], second.user_attrs["retries"]) == (0, retries)
    assert second.user_attrs["mlflow_run_id"] == first.user_attrs["mlflow_run_id"]
    trace = lab.tracker().artifact(second.user_attrs["mlflow_run_id"], "error.txt")
    assert (trace is not None) == (outcome != "interrupted")
    lab.assert_whole([0], undisturbed)


def test_without_a_checkpoint_the_run_is_replaced_and_named(lab_of_each: Lab) -> None:
    lab = lab_of_each
    settings = (*LONG, "--set", "checkpoint_seconds=3600")
    process = lab.start(*RUN, *settings, "--trials", "1")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    _kill_worker(process)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    first, second = lab.trials()
    stale = first.user_attrs["mlflow_run_id"]
    assert second.user_attrs["retry_of_run_id"] == stale != second.user_attrs["mlflow_run_id"]
    assert lab.run_of(second).tags["retry_of_run_id"] == stale
    assert lab.run_of(first).status == "FAILED"
    lab.assert_whole([0])
