"""Workers on Slurm: jobs of an array, by submitit, each of which is one `sweep worker`.

A job is told to leave by a signal, some time before its time limit and where Slurm preempts it. Its worker
then writes checkpoints and gives its trials back, and the job queues itself again. What has no time for that,
such as a job on a node that dies, is noticed by its missing heartbeats like any other worker.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import optuna

from sweep.engine.limits import Limits, ask_to_stop
from sweep.engine.members import is_complete
from sweep.engine.slurm_jobs import Cluster, Ended, last_line
from sweep.engine.slurm_member import TERMINATED, Member
from sweep.engine.slurm_settings import JobSettings
from sweep.errors import UserError
from sweep.recovery.findings import WITH_RESULT
from sweep.store.home import Home

POLL_S = 2.0
NO_FAULT = {"PREEMPTED", "NODE_FAIL", "REVOKED", "COMPLETED", "FINISHED"}
"""Of a job that left no exit code. FINISHED is of submitit's own jobs, which it restarts a few times only."""
CANCELLED = "CANCELLED"
SPARE_S = 15
"""Between the end of the worker, at the latest, and Slurm's own end of the job."""


def check(words: Sequence[str]) -> JobSettings:
    """The settings of the jobs, where this machine can submit them.

    Raises:
        UserError: a setting is wrong, submitit is not installed, or there is no Slurm.
    """
    settings = JobSettings.parse(words)
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError("--executor slurm needs submitit: pip install 'vae-stability-sweep[slurm]'") from None
    if settings.cluster == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "there is no Slurm here (no sbatch in PATH): run on a machine that submits jobs, or try it with "
            "--slurm cluster=local"
        )
    return settings


def run_on_slurm(
    study: optuna.Study,
    home: Home,
    limits: Limits,
    say: Callable[[str], None],
    *,
    settings: JobSettings,
    workers: int | None,
    workers_per_gpu: int,
    options: Sequence[str],
) -> None:
    """Keep `workers` jobs (default: one) in the queue or at work until the study is complete.

    Each has one worker process per GPU that it asks for, times `workers_per_gpu`; without GPUs one.

    Raises:
        UserError: Slurm does not take the jobs.
    """
    count = workers or 1
    each = max(1, settings.parameters.get("gpus_per_node", 0) * workers_per_gpu)
    words = ("worker", study.study_name, "--workers", str(each), *options)
    member = Member(words, leave_s=max(settings.signal_delay_s - SPARE_S, SPARE_S // 2))
    name = re.sub(r"[^\w.-]", "-", f"sweep-{study.study_name}-{int(time.time()):x}-{os.getpid():x}")
    cluster = Cluster(home, settings, name)
    jobs = cluster.submit(member, count)
    say(f"submitted {count} jobs; they log to {cluster.folder}")
    _watch(study, limits, say, cluster, member, jobs)


def _watch(
    study: optuna.Study,
    limits: Limits,
    say: Callable[[str], None],
    cluster: Cluster,
    member: Member,
    jobs: list[Any],
) -> None:
    asked, finished = False, 0
    try:
        while jobs:
            time.sleep(POLL_S)
            with_result = sum(trial.state in WITH_RESULT for trial in study.get_trials(deepcopy=False))
            if with_result > finished:
                finished = with_result
                limits.succeeded()
            over = cluster.ended(jobs)
            gone = {one.job.job_id for one in over}
            jobs = [job for job in jobs if job.job_id not in gone]
            again = sum(_wants_another(one, limits, say) for one in over)
            limits.check()
            complete = is_complete(study)
            if again and not limits.stopped and not complete:
                jobs += cluster.submit(member, again)
            if limits.stopped and not asked:
                asked = True
                ask_to_stop(study, stop=True)
            if limits.now:
                break
            if limits.stopped or complete:
                cluster.cancel(jobs, pending_only=True)  # the others end by themselves
        if not limits.stopped and not is_complete(study):
            limits.stop("its jobs were cancelled")
    except (KeyboardInterrupt, SystemExit):
        cluster.cancel(jobs)
        raise
    if limits.now:
        cluster.cancel(jobs)


def _wants_another(ended: Ended, limits: Limits, say: Callable[[str], None]) -> bool:
    """Whether another job takes the place of one that is over; says what is wrong with it."""
    if limits.stopped:
        return False
    name = f"job {ended.job.job_id}"
    if ended.state == CANCELLED:
        say(f"{name} was cancelled, and no other takes its place")
        return False
    if ended.code in (0, *TERMINATED) or (ended.code is None and ended.state in NO_FAULT):
        return True
    what = f"is gone ({ended.state})" if ended.code is None else f"ended with exit code {ended.code}"
    say(f"{name} {what}: {last_line(ended.job)}")
    limits.one_failed(ended.job.job_id)
    return True
