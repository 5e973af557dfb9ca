"""Ctrl-C once and twice, and a second `run` beside the first."""

import contextlib
import signal

import psutil
import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, Lab
from tests.sweep.processes import freeze, hear, unread, wait_until, workers_of

WORDS = ("--set", "checkpoint_seconds=3600", "--set", "epochs=60")


def test_ctrl_c_finishes_the_running_trials_and_a_second_run_is_refused_meanwhile(lab: Lab) -> None:
    process = lab.start(*RUN, *WORDS, "--workers", "2")
    wait_until(lambda: len(lab.running()) == 2)
    workers = workers_of(process)
    for worker in workers:
        freeze(lab, worker)
    begun = len(lab.trials())  # more than two where one worker came later than the other
    refused = lab.sweep(*RUN, *WORDS, "--workers", "1")
    assert refused.returncode == 2, refused.stdout
    assert "another process" in refused.stdout.splitlines()[-1]
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    hear(process, "finishing the running trials")
    for worker in workers:
        worker.resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * begun
    assert not any(worker.is_running() for worker in workers)
    assert lab.doctor()["findings"] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_trial_ends_the_program(lab: Lab, number: int, code: int) -> None:
    process = lab.start(*RUN, *WORDS, "--workers", "1")
    hear(process, "preparing data")
    wait_until(lambda: len(workers_of(process)) == 1)
    workers = workers_of(process)
    workers[0].suspend()  # it has no store open, and begins no trial
    wait_until((lab.home / "optuna.db").exists)
    process.send_signal(number)
    with contextlib.suppress(psutil.NoSuchProcess):  # its parent may have ended it already
        workers[0].resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert "Traceback" not in out
    assert not any(worker.is_running() for worker in workers)
    assert lab.finished() == []


def test_ctrl_c_twice_stops_now_and_run_takes_the_trials_up_again(lab: Lab) -> None:
    words = (*WORDS, "--workers", "1")
    process = lab.start(*RUN, *words, "--trials", "2")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    (worker,) = workers_of(process)
    freeze(lab, worker)
    process.send_signal(signal.SIGINT)
    # Two signals that arrive before the first is handled count as one.
    hear(process, "press Ctrl-C again")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: unread(worker))
    worker.resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    interrupted = [trial for trial in lab.trials() if trial.state is TrialState.FAIL]
    waiting = [trial for trial in lab.trials() if trial.state is TrialState.WAITING]
    seeds = sorted(trial.params["seed"] for trial in interrupted)
    assert seeds == sorted(trial.system_attrs["fixed_params"]["seed"] for trial in waiting) == [0]
    assert {trial.user_attrs["outcome"] for trial in interrupted} == {"interrupted"}
    assert lab.doctor()["findings"] == []
    lab.run(*words)
    lab.assert_whole([0, 1])
