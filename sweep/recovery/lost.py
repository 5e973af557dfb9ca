"""Attempts whose process is gone: their runs closed, their trials queued again."""

import contextlib

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import attempts
from sweep.recovery import heartbeat as presence
from sweep.recovery.attempts import Again, Ending
from sweep.store.home import Home
from sweep.store.secrets import redact
from sweep.tracking.journal import JournalBusyError
from sweep.tracking.linking import RUN_ID
from sweep.tracking.run import close_run

LOST = Ending("lost", "its process ended without a word", Again.COUNTED)


def give_up(
    study: optuna.Study,
    home: Home,
    number: int,
    ending: Ending,
    max_retries: int,
    log: str = "",
) -> bool:
    """End an attempt in both stores whose process is dead; returns whether the trial is queued again.

    log: the last lines of the dead process, an artifact of the run.
    """
    trial = study.get_trials(deepcopy=False)[number]
    _close_run(study, home, trial, ending, log)
    return attempts.fail(study, number, ending, max_retries)


def give_up_own(study: optuna.Study, home: Home, me: str, max_retries: int) -> None:
    """Queue again what an earlier run of this same process, such as a notebook, left RUNNING.

    To be called before this process runs a trial of the study.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get("claimed", {}).get("by") == me:
            give_up(study, home, trial.number, LOST, max_retries)


def recover(
    study: optuna.Study, home: Home, me: str | None, first_seen: dict[int, float], max_retries: int
) -> int:
    """Give up the attempts of dead supervisors, on whatever machine; returns how many there were."""
    found = attempts.orphans(study, me, first_seen)
    for trial in found:
        give_up(study, home, trial.number, LOST, max_retries)
    missing = attempts.queue_missing(study)
    presence.forget_dead(study)
    return len(found) + missing


def _close_run(study: optuna.Study, home: Home, trial: FrozenTrial, ending: Ending, log: str) -> None:
    if "run_key" not in trial.user_attrs:
        return
    where = {
        "experiment": study.user_attrs["mlflow_experiment_id"],
        "name": f"trial {trial.number:03d}",
        "run_id": trial.user_attrs.get(RUN_ID),
        "attempt": trial.number,
        "trial": (study.study_name, trial.number),
    }
    tags = {
        "mlflow.parentRunId": study.user_attrs["mlflow_run_id"],
        "study": study.study_name,
        "trial": trial.number,
        "outcome": ending.outcome,
        "reason": ending.reason,
    }
    files = {"error.txt": redact(f"{ending.reason}\n\n{log}").encode()}
    # A writer that is about to die may still hold the journal: the next attempt then finds the run open.
    with contextlib.suppress(JournalBusyError):
        close_run(home.spool, trial.user_attrs["run_key"], where, "FAILED", tags, files)
