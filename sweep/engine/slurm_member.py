"""What a job of Slurm runs: one `sweep worker`, which leaves its trials when the job must end."""

import os
import signal
import subprocess
from typing import Any

from sweep.engine.members import start

TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)


class Member:
    """What a job runs. submitit pickles it, calls it, and calls `checkpoint` at its signal."""

    def __init__(self, words: tuple[str, ...], leave_s: int) -> None:
        self.words, self.leave_s = words, leave_s
        self._process: subprocess.Popen[str] | None = None
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_process": None, "_told": False}

    def __call__(self) -> int:
        """Returns the exit code of the worker, whose output is the job's log."""
        self._process = start(self.words, {"SWEEP_LEAVE_SECONDS": str(self.leave_s)} | os.environ)
        _wait_for(self._process)
        code = self._process.wait()
        if code in TERMINATED and _is_running_job():
            # Slurm preempts the job and gives it time: all of its processes were told, and this one goes on.
            from submitit.core.job_environment import JobEnvironment

            signal.raise_signal(getattr(signal, f"SIG{JobEnvironment.USR_SIG}"))
        return code

    def checkpoint(self) -> Any:
        """Have the worker write its checkpoints and leave; returns what the job will run when it is back."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None and self._process.returncode is None:
            if not self._told:  # of several signals, the worker would take the last as an order to drop all
                self._told = True
                self._process.send_signal(signal.SIGTERM)
            _wait_for(self._process)
        return DelayedSubmission(Member(self.words, self.leave_s))


def _wait_for(process: "subprocess.Popen[str]") -> None:
    """Wait for its end without a lock: a signal's handler may do the same in the midst of it."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def _is_running_job() -> bool:
    """Whether Slurm holds the job that this process is in for running: not if it is cancelled or requeued."""
    known = os.environ
    if "SLURM_JOB_ID" not in known:
        return False
    job = known["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in known:  # the id of one element is also that of the whole array
        job = f"{known['SLURM_ARRAY_JOB_ID']}_{known['SLURM_ARRAY_TASK_ID']}"
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "RUNNING"
