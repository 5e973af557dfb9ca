"""The jobs of one `run`, as submitit and Slurm see them: submitted, watched, cancelled."""

import contextlib
import io
import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.engine.members import environment
from sweep.engine.slurm_member import Member
from sweep.engine.slurm_settings import JobSettings
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.store.secrets import redact

MOST_REQUEUES = 100_000
"""submitit gives a job up after so many time limits; a study goes on until it is complete."""
ACTIVE = {"PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD"}
ACTIVE |= {"REQUEUE_FED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}


@dataclass(frozen=True)
class Ended:
    """state: as Slurm names it, None if it no longer knows. code: of the worker, None if it did not end."""

    job: Any
    state: str | None
    code: int | None


class Cluster:
    """The jobs of one `run`, as submitit and Slurm see them."""

    def __init__(self, home: Home, settings: JobSettings, name: str) -> None:
        import submitit

        logging.getLogger("submitit").setLevel(logging.ERROR)
        self.settings = settings
        self.folder = home.root / "slurm" / name
        self._environment = environment(home)
        python = f"{shlex.quote(sys.executable)} -P"  # not a user's `vae.py`
        limit = {f"{settings.cluster}_max_num_timeout": MOST_REQUEUES, f"{settings.cluster}_python": python}
        self._executor = submitit.AutoExecutor(self.folder, cluster=settings.cluster, **limit)
        try:
            self._executor.update_parameters(name=name, **settings.for_submitit())
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise UserError(f"--slurm: {_first_line(error)}") from error

    def submit(self, member: Member, count: int) -> list[Any]:
        """Raises UserError where Slurm does not take the jobs."""
        from submitit.core.utils import environment_variables

        heard = io.StringIO()  # submitit prints what sbatch says, and raises it
        with environment_variables(**self._environment), contextlib.redirect_stderr(heard):
            try:
                with self._executor.batch():
                    jobs = [self._executor.submit(member) for _ in range(count)]
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                raise UserError(f"Slurm does not take the jobs: {_first_line(error)}") from error
        return jobs

    def ended(self, jobs: Sequence[Any]) -> list[Ended]:
        """Those that are over and do not come back; none while Slurm does not answer."""
        if self.settings.cluster == "local":
            return [Ended(job, job.state, _code(job)) for job in jobs if job.done()]
        states = self._states(jobs)
        if states is None:
            return []
        over = [job for job in jobs if states.get(job.job_id) not in ACTIVE]
        return [Ended(job, states.get(job.job_id), _code(job)) for job in over]

    def cancel(self, jobs: Sequence[Any], pending_only: bool = False) -> None:
        """End these jobs; their workers leave their trials with a checkpoint."""
        if self.settings.cluster == "local":
            for job in jobs if not pending_only else ():
                job.cancel()
        elif jobs:
            only = ["--state=PENDING"] if pending_only else []
            subprocess.run(
                ["scancel", *only, *(job.job_id for job in jobs)], capture_output=True, check=False
            )

    def _states(self, jobs: Sequence[Any]) -> dict[str, str] | None:
        """By id. None while Slurm does not answer; jobs that it has forgotten are not there."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
        name = f"--name={self.folder.name}"
        done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        rows = [line.split() for line in done.stdout.splitlines()]
        return {row[0]: row[1] for row in rows if len(row) == 2}


def _code(job: Any) -> int | None:
    """What its `Member` returned; None if it came to no end."""
    if not job.paths.result_pickle.exists():
        return None
    try:
        return int(job.result())
    except Exception:  # whatever it raised there is in its log
        return 1


def last_line(job: Any) -> str:
    """Of its log, to say why it failed."""
    for path in (job.paths.stdout, job.paths.stderr):
        lines = _lines(path)
        if lines:
            return redact(lines[-1])
    return f"it wrote no log to {job.paths.stdout.parent}, a folder that every node must reach"


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def _first_line(error: Exception) -> str:
    """What the user needs of it: sbatch's own words, where there are any."""
    stderr = getattr(error, "stderr", None) or ""
    text = stderr.decode() if isinstance(stderr, bytes) else str(stderr) or str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if "error:" in line]
    return redact(" ".join((said or lines or [type(error).__name__])[:2])[:300])
