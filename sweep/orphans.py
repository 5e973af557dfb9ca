"""Trials whose process is gone: failed, and queued again with the same parameters and seed."""

from typing import cast

import optuna
from optuna.trial import FrozenTrial, TrialState

OF_ONE_ATTEMPT = ("outcome", "reason", "mlflow_run_id")
"""Attributes of a trial that its next attempt does not take over."""

MAX_RETRIES = 2
"""A trial whose process died this often is not tried again: it may be what kills the process."""


def requeue(study: optuna.Study, trial: optuna.Trial | FrozenTrial) -> None:
    """Put a trial's parameters, seed and phase back into the queue, to be asked for again as a new trial."""
    kept = {k: v for k, v in trial.user_attrs.items() if k not in OF_ONE_ATTEMPT}
    attrs = kept | {"retry_of": trial.number, "retries": trial.user_attrs.get("retries", 0) + 1}
    queued = study._storage.get_trial(trial._trial_id)
    # One that died while it was being asked for has no more than its request fixed.
    study.enqueue_trial(queued.system_attrs["fixed_params"] | queued.params, user_attrs=attrs)


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
    if trial.user_attrs.get("retries", 0) < MAX_RETRIES:
        requeue(study, trial)
    return cast(str | None, trial.user_attrs.get("mlflow_run_id"))
