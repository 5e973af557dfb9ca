"""Attempts whose process is gone: their runs are ended and their trials queued again."""

import contextlib

import optuna
from optuna.trial import TrialState

from sweep.recovery import attempts, heartbeat
from sweep.recovery.attempts import Again, Ending
from sweep.store.home import Home
from sweep.store.links import study_link
from sweep.store.secrets import redact
from sweep.store.trials import TrialView
from sweep.tracking.journal import JournalBusyError
from sweep.tracking.run import close_run
from sweep.tracking.trackers import PARENT

LOST = Ending("lost", "its process died", Again.COUNTED)


def give_up(
    study: optuna.Study,
    home: Home,
    number: int,
    ending: Ending,
    max_retries: int,
    log: str = "",
) -> bool:
    """End, in both stores, an attempt whose process is dead; returns whether the trial is queued again.

    One that ended its trial before it died has ended its run before that, though perhaps not sent it yet.

    log: the last lines of the dead process, which become an artifact of the run.
    """
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return False
    _close_run(study, home, TrialView(trial), ending, log)
    return attempts.fail(study, number, ending, max_retries)


def give_up_own(study: optuna.Study, home: Home, me: str, max_retries: int) -> None:
    """Queue again what an earlier run of this same process, such as a notebook, left RUNNING.

    To be called before this process runs a trial of the study.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if (TrialView(trial).claimed or {}).get("by") == me:
            give_up(study, home, trial.number, LOST, max_retries)


def recover(
    study: optuna.Study, home: Home, me: str | None, first_seen: dict[int, float], max_retries: int
) -> int:
    """Give up the attempts of dead supervisors on any machine; returns how many there were."""
    found = attempts.orphans(study, me, first_seen)
    for trial in found:
        give_up(study, home, trial.number, LOST, max_retries)
    missing = attempts.queue_missing(study)
    heartbeat.forget_dead(study)
    return len(found) + missing


def _close_run(study: optuna.Study, home: Home, trial: TrialView, ending: Ending, log: str) -> None:
    link = study_link(study)
    if link is None or trial.run_key is None:
        return
    where = {
        "tracker": link.tracker,
        "experiment": link.experiment,
        "name": f"trial {trial.number:03d}",
        "run_id": trial.run_id or None,
        "attempt": trial.number,
        "trial": (study.study_name, trial.number),
    }
    tags = {
        PARENT: link.run_id,
        "study": study.study_name,
        "trial": trial.number,
        "outcome": ending.outcome,
        "reason": ending.reason,
    }
    files = {"error.txt": redact(f"{ending.reason}\n\n{log}").encode()}
    # A writer that is about to die may still hold the journal; then the next attempt finds the run open.
    with contextlib.suppress(JournalBusyError):
        close_run(home.spool, trial.run_key, where, "FAILED", tags, files)
