"""A trial that was cut off goes on from its checkpoint, in its run, as if nothing had been."""

import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, TRACKERS, Lab
from tests.sweep.processes import checkpointed_at, in_the_middle, unread, wait_until, workers_of

LONG = ("--set", "epochs=40", "--workers", "1")
"""More than a second of training: time to be stopped in the middle."""


def _kill_worker(process: subprocess.Popen[str], worker: psutil.Process) -> None:
    worker.kill()


def _stop_now(process: subprocess.Popen[str], worker: psutil.Process) -> None:
    """As a cluster does: every process is told, and the worker leaves it to its parent."""
    worker.terminate()
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: unread(worker))
    worker.resume()


def _kill_all(process: subprocess.Popen[str], worker: psutil.Process) -> None:
    process.kill()
    worker.kill()


def test_a_trial_that_is_cut_off_in_every_way_goes_on_in_its_run(lab: Lab, undisturbed: Lab) -> None:
    def start() -> tuple[subprocess.Popen[str], psutil.Process]:
        before = checkpointed_at(lab)
        process = lab.start(*RUN, *LONG, "--trials", "1")
        return process, in_the_middle(lab, process, before)

    process, worker = start()
    _stop_now(process, worker)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out
    (run_id,) = {trial.user_attrs["mlflow_run_id"] for trial in lab.trials() if trial.state.is_finished()}
    assert lab.tracker().artifact(run_id, "error.txt") is None
    process, worker = start()
    before = checkpointed_at(lab)
    _kill_worker(process, worker)
    _kill_all(process, in_the_middle(lab, process, before))
    out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, out
    lab.run(*LONG)
    trials = lab.trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 3 + [TrialState.COMPLETE]
    assert [t.user_attrs["outcome"] for t in trials] == ["interrupted", "crashed", "lost", "budget"]
    assert [t.user_attrs.get("retry_of") for t in trials] == [None, 0, 1, 2]
    assert [t.user_attrs.get("retries") for t in trials] == [None, 0, 1, 2]
    assert {trial.user_attrs["mlflow_run_id"] for trial in trials} == {run_id}
    assert lab.tracker().artifact(run_id, "error.txt") is not None
    lab.assert_whole([0], undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize(
    ("cut_off", "code", "outcome", "retries"),
    [
        (_kill_worker, 0, "crashed", 1),
        (_stop_now, 143, "interrupted", 0),
        (_kill_all, -signal.SIGKILL, "lost", 1),
    ],
)
def test_a_trial_that_was_cut_off_goes_on_in_its_run(
    labs: Callable[..., Lab],
    undisturbed: Lab,
    tracker: str,
    cut_off: Callable[[subprocess.Popen[str], psutil.Process], None],
    code: int,
    outcome: str,
    retries: int,
) -> None:
    lab = labs("home", SWEEP_TRACKER=tracker)
    process = lab.start(*RUN, *LONG, "--trials", "1")
    cut_off(process, in_the_middle(lab, process))
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
    # The run has its id as soon as the tracker is imported, which takes seconds for MLflow and W&B.
    epochs = 150 if lab.tracker().name == "files" else 400
    settings = ("--set", f"epochs={epochs}", "--workers", "1", "--set", "checkpoint_seconds=3600")
    process = lab.start(*RUN, *settings, "--trials", "1")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    workers_of(process)[0].kill()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    first, second = lab.trials()
    stale = first.user_attrs["mlflow_run_id"]
    assert second.user_attrs["retry_of_run_id"] == stale != second.user_attrs["mlflow_run_id"]
    assert lab.run_of(second).tags["retry_of_run_id"] == stale
    assert lab.run_of(first).status == "FAILED"
    lab.assert_whole([0])
