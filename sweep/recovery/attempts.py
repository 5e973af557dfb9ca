"""Attempts at a trial: taken from the queue, ended, and queued again with the same parameters and seed.

Optuna knows no second attempt: a trial that was cut off is failed, and another one with its parameters is
queued, which says whose attempt it is (`retry_of`), which was the first (`root`) and how often it failed
(`retries`). Checkpoints belong to the root, so the next attempt goes on from them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import heartbeat as presence
from sweep.store.optuna_internals import fixed_params, storage_of, study_id, trial_id
from sweep.store.secrets import redact
from sweep.store.storage import study_lock

REASON_LENGTH = 2000
OF_ITS_END = ("outcome", "reason", "next_attempt")


class Again(Enum):
    """Whether a failed attempt is followed by another."""

    NEVER = "never"
    COUNTED = "counted"
    """It may have been the trial's own doing: so often and no oftener."""
    FREE = "free"
    """It was cut off from outside."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended that has no result."""

    outcome: str
    reason: str
    again: Again


class FencedError(Exception):
    """The attempt was given up for dead, and its trial ended, by another process."""


def claim(study: optuna.Study, owner: str) -> FrozenTrial | None:
    """Take the next trial from the queue; None where it is empty.

    To be called under `study_lock(study)`: Optuna's own check-and-set is none on sqlite.
    """
    storage = storage_of(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        try:
            taken = storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING)
        except UpdateFinishedTrialError:
            continue
        if taken:
            claimed = {"by": owner, "given": sorted(trial.user_attrs)}
            storage.set_trial_user_attr(trial_id(trial), "claimed", claimed)
            return trial
    return None


def finish(study: optuna.Study, trial_id: int, state: TrialState, values: Sequence[float] | None) -> None:
    """Tell the store how a trial ended; once more is the same as once.

    Raises:
        FencedError: another process has ended it in another way.
    """
    storage = storage_of(study)
    with study_lock(study):
        try:
            storage.set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError as error:
            stored = storage.get_trial(trial_id)
            if stored.state is not state or (values is not None and stored.values != list(values)):
                raise FencedError(f"trial {stored.number} was ended by another process") from error


def fail(study: optuna.Study, number: int, ending: Ending, max_retries: int) -> bool:
    """End a RUNNING trial without a result, and queue its next attempt; returns whether there is one.

    Nothing where the trial has ended already. Killed in the middle, it is completed by `queue_missing`.
    """
    storage = storage_of(study)
    with study_lock(study):
        trial = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id(study), number))
        if trial.state is not TrialState.RUNNING:
            return False
        retries = int(trial.user_attrs.get("retries", 0)) + (ending.again is Again.COUNTED)
        again = ending.again is not Again.NEVER and retries <= max_retries
        facts = ending.outcome, redact(ending.reason)[:REASON_LENGTH], retries if again else None
        for key, value in zip(OF_ITS_END, facts, strict=True):
            storage.set_trial_user_attr(trial_id(trial), key, value)
        try:
            storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
        except UpdateFinishedTrialError:  # it finished at the last moment
            return False
        if again:
            _queue(study, storage.get_trial(trial_id(trial)))
        return again


def queue_missing(study: optuna.Study) -> int:
    """Queue the next attempts that whoever failed a trial was killed before queueing; returns how many."""
    if not without_successor(study):
        return 0
    with study_lock(study):
        missing = without_successor(study)
        for trial in missing:
            _queue(study, trial)
    return len(missing)


def orphans(study: optuna.Study, me: str | None, first_seen: dict[int, float]) -> list[FrozenTrial]:
    """RUNNING trials whose supervisor is dead.

    me: the supervisor that asks, where it is one; it is in the middle of no claim.
    first_seen: when a trial was found that nobody has put a name to, kept by the caller between calls. With
        another supervisor alive it may be just about to.
    """
    ages = presence.ages(study)
    others = any(owner != me and presence.is_alive(owner, ages) for owner in ages)
    grace = presence.STALE_BEATS * presence.BEAT_S if others else 0.0
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        claimed = trial.user_attrs.get("claimed")
        if claimed is None:
            since = first_seen.setdefault(trial.number, time.monotonic())
            if time.monotonic() - since >= grace:
                found.append(trial)
        elif claimed["by"] != me and not presence.is_alive(claimed["by"], ages):
            found.append(trial)
    return found


def given_up(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that failed for good."""
    trials = study.get_trials(deepcopy=False)
    return [t for t in trials if t.state is TrialState.FAIL and t.user_attrs.get("next_attempt") is None]


def root_of(trial: optuna.Trial | FrozenTrial) -> int:
    """The number of the first attempt."""
    return int(trial.user_attrs.get("root", trial.number))


def without_successor(study: optuna.Study) -> list[FrozenTrial]:
    """FAIL trials whose next attempt was promised and never queued."""
    trials = study.get_trials(deepcopy=False)
    followed = {trial.user_attrs.get("retry_of") for trial in trials}
    return [
        trial
        for trial in trials
        if trial.state is TrialState.FAIL
        and trial.user_attrs.get("next_attempt") is not None
        and trial.number not in followed
    ]


def _queue(study: optuna.Study, trial: FrozenTrial) -> None:
    # One that nobody had put a name to has no more than it was given, and how it ended.
    given = trial.user_attrs.get("claimed", {}).get("given", trial.user_attrs.keys() - set(OF_ITS_END))
    attrs: dict[str, Any] = {key: trial.user_attrs[key] for key in given}
    if "seed" in trial.user_attrs:
        attrs["seed"] = trial.user_attrs["seed"]
    attrs |= {"retry_of": trial.number, "root": root_of(trial), "retries": trial.user_attrs["next_attempt"]}
    if "run_key" in trial.user_attrs:
        attrs["run_before"] = [trial.user_attrs["run_key"], trial.user_attrs.get("mlflow_run_id")]
    # One that died while it was being asked for has no more than its request fixed.
    study.enqueue_trial(fixed_params(trial) | trial.params, user_attrs=attrs)
