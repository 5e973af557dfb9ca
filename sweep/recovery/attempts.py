"""Attempts at a trial: taken from the queue, ended, and queued again with the same parameters and seed.

Optuna has no second attempt: a trial that was cut off is failed, and another one with its parameters is
queued, whose attributes name the trial it repeats (`retry_of`), the first attempt (`root`) and how often the
trial has failed (`retries`). Checkpoints belong to the root, so the next attempt resumes from them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import heartbeat
from sweep.store import keys
from sweep.store.optuna_internals import fixed_params, storage_of, study_id, trial_id
from sweep.store.secrets import redact
from sweep.store.storage import study_lock
from sweep.store.trials import TrialView, views

REASON_LENGTH = 2000
ENDING_KEYS = (keys.OUTCOME, keys.REASON, keys.NEXT_ATTEMPT)


class Again(Enum):
    """Whether a failed attempt is followed by another."""

    NEVER = "never"
    COUNTED = "counted"
    """It may have been the trial's own fault, so the number of retries is limited."""
    FREE = "free"
    """It was cut off from outside, which does not count."""


@dataclass(frozen=True)
class Ending:
    """How an attempt without a result ended."""

    outcome: str
    reason: str
    again: Again


class FencedError(Exception):
    """Another process has taken the attempt for dead and ended its trial."""


def claim(study: optuna.Study, owner: str) -> FrozenTrial | None:
    """Take the next trial from the queue; None if it is empty.

    Call it under `study_lock(study)`: on sqlite, Optuna's own check-and-set is not atomic.
    """
    storage = storage_of(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        try:
            taken = storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING)
        except UpdateFinishedTrialError:
            continue
        if taken:
            claimed = {"by": owner, "given": sorted(trial.user_attrs)}
            storage.set_trial_user_attr(trial_id(trial), keys.CLAIMED, claimed)
            return trial
    return None


def finish(study: optuna.Study, trial_id: int, state: TrialState, values: Sequence[float] | None) -> None:
    """Store how a trial ended; doing so twice is the same as once.

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

    Does nothing if the trial has ended already. If this is killed half-way, `queue_missing` completes it.
    """
    storage = storage_of(study)
    with study_lock(study):
        trial = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id(study), number))
        if trial.state is not TrialState.RUNNING:
            return False
        retries = TrialView(trial).retries + (ending.again is Again.COUNTED)
        again = ending.again is not Again.NEVER and retries <= max_retries
        facts = ending.outcome, redact(ending.reason)[:REASON_LENGTH], retries if again else None
        for key, value in zip(ENDING_KEYS, facts, strict=True):
            storage.set_trial_user_attr(trial_id(trial), key, value)
        try:
            storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
        except UpdateFinishedTrialError:  # it finished just before
            return False
        if again:
            _queue(study, storage.get_trial(trial_id(trial)))
        return again


def queue_missing(study: optuna.Study) -> int:
    """Queue the attempts of trials whose process was killed just after failing them; returns how many."""
    if not without_successor(study):
        return 0
    with study_lock(study):
        missing = without_successor(study)
        for trial in missing:
            _queue(study, trial)
    return len(missing)


def orphans(study: optuna.Study, me: str | None, first_seen: dict[int, float]) -> list[FrozenTrial]:
    """RUNNING trials whose supervisor is dead.

    Args:
        me: the supervisor that calls, if it is one; it is not in the middle of claiming a trial.
        first_seen: by trial, when one was first found that no supervisor has its name on; the caller keeps
            it between calls. As long as another supervisor is alive, it may be about to do so.
    """
    ages = heartbeat.ages(study)
    others = any(owner != me and heartbeat.is_alive(owner, ages) for owner in ages)
    grace = heartbeat.STALE_BEATS * heartbeat.BEAT_S if others else 0.0
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        claimed = TrialView(trial).claimed
        if claimed is None:
            since = first_seen.setdefault(trial.number, time.monotonic())
            if time.monotonic() - since >= grace:
                found.append(trial)
        elif claimed["by"] != me and not heartbeat.is_alive(claimed["by"], ages):
            found.append(trial)
    return found


def given_up(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that failed for good."""
    trials = study.get_trials(deepcopy=False)
    return [t for t in trials if t.state is TrialState.FAIL and TrialView(t).next_attempt is None]


def without_successor(study: optuna.Study) -> list[FrozenTrial]:
    """FAIL trials that are to have another attempt, which was never queued."""
    trials = study.get_trials(deepcopy=False)
    followed = {trial.retry_of for trial in views(trials)}
    return [
        trial
        for trial in trials
        if trial.state is TrialState.FAIL
        and TrialView(trial).next_attempt is not None
        and trial.number not in followed
    ]


def _queue(study: optuna.Study, trial: FrozenTrial) -> None:
    # A trial that was never claimed has only the attributes it was queued with and those of its ending.
    view = TrialView(trial)
    given = (view.claimed or {}).get("given", view.attrs.keys() - set(ENDING_KEYS))
    attrs: dict[str, Any] = {key: view.attrs[key] for key in given}
    if view.seed is not None:
        attrs[keys.SEED] = view.seed
    attrs |= {keys.RETRY_OF: view.number, keys.ROOT: view.root, keys.RETRIES: view.next_attempt}
    if view.run_key is not None:
        attrs[keys.RUN_BEFORE] = [view.run_key, view.run_id or None]
    # A trial that died while its parameters were being suggested has only those that its request fixed.
    study.enqueue_trial(fixed_params(trial) | trial.params, user_attrs=attrs)
