"""Trials whose process is gone: failed, and queued again with the same parameters and seed."""

from typing import cast

import optuna
from optuna.trial import FrozenTrial, TrialState

MAX_RETRIES = 2
"""A trial whose process died this often is not tried again: it may be what kills the process."""


def requeue(study: optuna.Study, trial: optuna.Trial | FrozenTrial) -> None:
    """Put a trial's parameters and seed back into the queue, to be asked for again as a new trial."""
    attrs = {"retry_of": trial.number, "retries": trial.user_attrs.get("retries", 0) + 1}
    if "seed" in trial.user_attrs:
        attrs["seed"] = trial.user_attrs["seed"]
    study.enqueue_trial(trial.params, user_attrs=attrs)


def running(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are RUNNING; orphans where no worker is alive."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def requeue_all(study: optuna.Study) -> int:
    """How many. Under the study's lock no worker of this machine is alive: RUNNING means orphaned."""
    orphans = running(study)
    for orphan in orphans:
        fail(study, orphan.number, "lost", "its process ended without a word")
    return len(orphans)


def fail(study: optuna.Study, number: int, outcome: str, reason: str) -> str | None:
    """Fail a RUNNING trial whose worker is gone; returns the id of its MLflow run, if it has one."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state is not TrialState.RUNNING:
        return None
    storage = study._storage
    storage.set_trial_user_attr(trial._trial_id, "outcome", outcome)
    storage.set_trial_user_attr(trial._trial_id, "reason", reason)
    study.tell(number, state=TrialState.FAIL)
    if trial.params and trial.user_attrs.get("retries", 0) < MAX_RETRIES:
        requeue(study, trial)
    return cast(str | None, trial.user_attrs.get("mlflow_run_id"))
