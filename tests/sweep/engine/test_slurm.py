"""Workers as jobs: one that is told to leave goes on in another, and whatever is lost, the study is not.

With a real Slurm where Debian's `slurm-wlm` is installed, and with submitit's own jobs of this machine.
"""

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, Lab
from tests.sweep.processes import command_line, is_alive, kill_all, kill_tree, wait_until
from tests.sweep.slurm import MISSING, Slurm, running_slurm

pytest.importorskip("submitit")

ON_SLURM = ("--executor", "slurm")
LOCAL = (*ON_SLURM, "--slurm", "cluster=local", "--slurm", "time=2h")
LONG, LONGER = ("--set", "epochs=80"), ("--set", "epochs=400")
PREEMPTIONS, SETTLES_S = 20, 8.0

with_slurm = pytest.mark.skipif(
    bool(MISSING), reason=f"no Slurm here (install slurm-wlm): no {', '.join(MISSING)}"
)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Two nodes of one core."""
    with running_slurm(tmp_path / "slurm") as slurm:
        monkeypatch.setenv("SLURM_CONF", str(slurm.config))
        yield slurm


@pytest.fixture
def lab(labs: Callable[..., Lab]) -> Lab:
    """One that records in MLflow, where a point that is written twice is kept twice."""
    return labs("home", SWEEP_HEARTBEAT_SECONDS="1")


def _local_jobs(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes in which submitit calls what it was given."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [one for one in family if "submitit.core._submit" in command_line(one)]


def _warn(job: psutil.Process) -> None:
    """As Slurm does: the signal goes to every process of the job."""
    children = job.children(recursive=True)
    job.send_signal(signal.SIGUSR2)
    for one in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGUSR2)


def _checkpointed(lab: Lab) -> bool:
    return bool(lab.running()) and bool(list(lab.home.glob("checkpoints/tiny/*/state.pt")))


def _cut_off(lab: Lab) -> int:
    return sum(trial.state is TrialState.FAIL for trial in lab.trials())


def _outcomes(lab: Lab) -> set[str]:
    return {str(t.user_attrs["outcome"]) for t in lab.trials() if t.state is TrialState.FAIL}


@pytest.mark.slow
def test_a_job_that_is_ended_by_its_signal_goes_on_in_another(labs: Callable[..., Lab], lab: Lab) -> None:
    whole = labs("whole")
    whole.run(*LONG, "--workers", "1", "--trials", "1")
    process = lab.start(*RUN, *LOCAL, *LONG, "--trials", "1")
    wait_until(lambda: _checkpointed(lab))
    (job,) = _local_jobs(process)
    _warn(job)
    wait_until(lambda: not is_alive(job))
    wait_until(lambda: _local_jobs(process) not in ([], [job]))
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert [trial.state for trial in lab.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert _outcomes(lab) == {"interrupted"}
    assert lab.trials()[1].user_attrs["retries"] == 0, "it was not the trial's fault"
    lab.assert_whole([0], whole)


@pytest.mark.slow
@with_slurm
def test_a_job_that_slurm_preempts_goes_on_when_it_is_back(labs: Callable[..., Lab], slurm: Slurm) -> None:
    """The partition gives it twenty seconds, of which it takes as many as a checkpoint needs."""
    lab = labs("home", SWEEP_TRACKER="files")
    process = lab.start(*RUN, *ON_SLURM, "--set", "epochs=120", "--trials", "1")
    wait_until(lambda: _checkpointed(lab), poll_s=0.01)
    slurm.command("sbatch", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    wait_until(lambda: slurm.hurry() or process.poll() is not None, timeout_s=280, poll_s=1)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert [trial.state for trial in lab.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert _outcomes(lab) == {"interrupted"}
    assert lab.trials()[1].user_attrs["retries"] == 0
    assert len(slurm.jobs("COMPLETED")) == 2, "the same job came back"
    lab.assert_whole([0])


def _preempt(process: "subprocess.Popen[str]", dice: random.Random) -> bool:
    """A job whose worker has begun; twice now and then, as a job that leaves hears of its time limit too."""
    try:
        jobs = [job for job in _local_jobs(process) if _has_begun(job)]
        if not jobs:
            return False
        job = dice.choice(jobs)
        _warn(job)
        if dice.random() < 0.2:
            _warn(job)
    except psutil.NoSuchProcess:
        return False
    return True


def _has_begun(job: psutil.Process) -> bool:
    return any("sweep.engine.worker" in command_line(one) for one in job.children(recursive=True))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_twenty_random_preemptions_nothing_is_lost(labs: Callable[..., Lab], lab: Lab) -> None:
    dice = random.Random(0)
    whole = labs("whole")
    whole.run(*LONGER, "--workers", "2", "--trials", "8")
    process = lab.start(*RUN, *LOCAL, *LONGER, "--workers", "2", "--trials", "8")
    preempted = 0
    while preempted < PREEMPTIONS:
        assert process.poll() is None, "the study was over too soon"
        wait_until(lambda: lab.running() or process.poll() is not None)
        time.sleep(dice.uniform(0, 1.5))
        before = _cut_off(lab)
        done = _preempt(process, dice)
        deadline = time.monotonic() + done * SETTLES_S
        while time.monotonic() < deadline and _cut_off(lab) == before:  # a job that only begins cuts off none
            time.sleep(0.1)
        preempted += done
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    print(f"{preempted} preemptions, {_cut_off(lab)} attempts were cut off")
    assert _outcomes(lab) <= {"interrupted"}
    lab.assert_whole(list(range(8)), whole)


@pytest.mark.slow
@with_slurm
def test_a_study_outlives_a_node_and_the_process_that_submitted_its_jobs(
    labs: Callable[..., Lab], lab: Lab, slurm: Slurm
) -> None:
    whole = labs("whole")
    whole.run(*LONG, "--workers", "2", "--trials", "6")
    process = lab.start(*RUN, *ON_SLURM, *LONG, "--workers", "2", "--trials", "6")
    wait_until(lambda: len(lab.running()) == 2 and _checkpointed(lab))
    _lose_node(slurm)
    process.kill()
    wait_until(lambda: not slurm.jobs("RUNNING", "COMPLETING") and len(lab.finished()) == 6)
    lab.forget()
    lab.sweep(*RUN, *LONG, "--workers", "1")  # it finds the study whole
    lab.assert_whole(list(range(6)), whole)


def _lose_node(slurm: Slurm) -> None:
    """All processes of its jobs and its own, at once; Slurm hears of it by silence, as of a power cut."""
    of_node = [one for one in psutil.process_iter() if "node1" in " ".join(command_line(one))]
    steps = [one for one in of_node if "slurm" in one.name()]
    family = [child for step in steps for child in step.children(recursive=True)]
    kill_tree(slurm.processes.pop("node1").pid)
    kill_all({*steps, *family})


@pytest.mark.slow
@with_slurm
def test_jobs_that_the_user_cancels_are_not_replaced(lab: Lab, slurm: Slurm) -> None:
    process = lab.start(*RUN, *ON_SLURM, *LONG, "--workers", "2", "--trials", "4")
    wait_until(lambda: len(lab.running()) == 2)
    slurm.command("scancel", *slurm.jobs("RUNNING"))
    out, _ = process.communicate(timeout=120)
    assert "was cancelled, and no other takes its place" in " ".join(out.split())
    assert "ended early: its jobs were cancelled" in " ".join(out.split())
    assert _outcomes(lab) == {"interrupted"}
    lab.run(*LONG, "--workers", "2")
    lab.assert_whole([0, 1, 2, 3])


@with_slurm
def test_what_slurm_refuses_is_one_sentence_of_its_own(lab: Lab, slurm: Slurm) -> None:
    done = lab.sweep(*RUN, *ON_SLURM, "--slurm", "partition=nowhere")
    assert done.returncode == 2, done.stdout
    assert "Slurm does not take the jobs" in done.stdout.splitlines()[-1]
    assert "partition" in done.stdout.splitlines()[-1]


def test_without_slurm_or_with_a_wrong_setting_there_is_one_sentence(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = lab.sweep(*RUN, *ON_SLURM, "--slurm", "partitoin=gpu")
    assert wrong.returncode == 2
    assert len(wrong.stdout.strip().splitlines()) == 1
    assert "did you mean 'partition'?" in wrong.stdout
    alone = lab.sweep(*RUN, "--slurm", "partition=gpu")
    assert alone.returncode == 2
    assert "add --executor slurm" in alone.stdout
    monkeypatch.setenv("PATH", "/nowhere")
    none = lab.sweep(*RUN, *ON_SLURM)
    assert none.returncode == 2
    assert "there is no Slurm here" in none.stdout
    assert not (lab.home / "optuna.db").exists(), "nothing is half-written"
