"""Ctrl-C once and twice, and a second `run` beside the first."""

import signal

import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, Lab, wait_until, workers_of

TWO = ("--workers", "2", "--set", "checkpoint_seconds=3600")
BOTH = (*TWO, "--set", "epochs=200")


def test_ctrl_c_finishes_the_running_trials(lab: Lab) -> None:
    process = lab.start(*RUN, *BOTH)
    wait_until(lambda: len(lab.running()) == 2)
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert {trial.state for trial in lab.trials()} == {TrialState.COMPLETE}
    assert not any(worker.is_running() for worker in workers)
    assert lab.doctor()["findings"] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_trial_ends_the_program(lab: Lab, number: int, code: int) -> None:
    process = lab.start(*RUN, *BOTH)
    assert process.stdout is not None
    assert any("preparing data" in line for line in process.stdout)
    wait_until(lambda: len(workers_of(process)) == 2)
    workers = workers_of(process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert "Traceback" not in out
    assert not any(worker.is_running() for worker in workers)
    assert lab.finished() == []


def test_a_second_run_of_a_study_is_refused(lab: Lab) -> None:
    process = lab.start(*RUN, *BOTH)
    wait_until((lab.home / "tiny.lock").exists)
    refused = lab.sweep(*RUN, *BOTH)
    assert refused.returncode == 2, refused.stdout
    assert "another process" in refused.stdout.splitlines()[-1]
    assert process.poll() is None


def test_ctrl_c_twice_stops_now_and_run_takes_the_trials_up_again(lab: Lab) -> None:
    long = (*TWO, "--set", "epochs=600")
    process = lab.start(*RUN, *long, "--trials", "4")
    wait_until(lambda: sum("mlflow_run_id" in trial.user_attrs for trial in lab.running()) == 2)
    process.send_signal(signal.SIGINT)
    # Two signals that arrive before the first is handled count as one.
    assert process.stdout is not None
    assert any("press Ctrl-C again" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    interrupted = [trial for trial in lab.trials() if trial.state is TrialState.FAIL]
    waiting = [trial for trial in lab.trials() if trial.state is TrialState.WAITING]
    seeds = sorted(trial.params["seed"] for trial in interrupted)
    assert seeds == sorted(trial.system_attrs["fixed_params"]["seed"] for trial in waiting)
    assert {trial.user_attrs["outcome"] for trial in interrupted} == {"interrupted"}
    assert lab.doctor()["findings"] == []
    lab.run(*long)
    lab.assert_whole([0, 1, 2, 3])
