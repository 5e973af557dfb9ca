"""Attempts at a trial: claimed once, ended once, and queued again as often as they should be."""

import threading
import time
from collections.abc import Callable

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.recovery import attempts
from sweep.recovery.attempts import Again, Ending, FencedError
from sweep.recovery.heartbeat import Heartbeat
from sweep.store.home import Home
from sweep.store.storage import study_lock
from tests.sweep.conftest import claim


def test_a_trial_is_claimed_once(
    home: Home, study: optuna.Study, opened: Callable[[Home], RDBStorage]
) -> None:
    for _ in range(6):
        study.enqueue_trial({"x": 0.5})
    views = [optuna.load_study(study_name="tiny", storage=opened(home)) for _ in range(3)]
    taken: list[int] = []

    def take(view: optuna.Study) -> None:
        while True:
            with study_lock(view):
                trial = attempts.claim(view, "me")
            if trial is None:
                return
            taken.append(trial.number)

    threads = [threading.Thread(target=take, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(6))


def test_a_trial_without_a_name_is_left_alone_while_others_may_be_about_to_name_it(
    study: optuna.Study,
) -> None:
    study.enqueue_trial({"x": 0.5})
    study._storage.set_trial_state_values(study.trials[0]._trial_id, TrialState.RUNNING)
    seen: dict[int, float] = {}
    with Heartbeat(study, workers=1) as other:
        assert attempts.orphans(study, "somebody else", seen) == []
        seen[0] = time.monotonic() - 1e4
        assert [t.number for t in attempts.orphans(study, "somebody else", seen)] == [0]
        assert [t.number for t in attempts.orphans(study, other.id, {})] == [0]


def test_a_failed_trial_is_queued_again_so_often_and_keeps_what_it_was_given(study: optuna.Study) -> None:
    number = claim(study, "me", phase="explore", arm="a")
    for retries in range(1, 4):
        trial_id = study.trials[number]._trial_id
        study._storage.set_trial_user_attr(trial_id, "seed", 7)
        study._storage.set_trial_user_attr(trial_id, "run_key", f"key {number}")
        again = attempts.fail(study, number, Ending("crashed", "killed", Again.COUNTED), max_retries=2)
        assert again == (retries < 3)
        assert not attempts.fail(study, number, Ending("crashed", "killed", Again.COUNTED), max_retries=2)
        if again:
            claimed = attempts.claim(study, "me")
            assert claimed is not None
            attrs = claimed.user_attrs
            assert (attrs["retry_of"], attrs["root"], attrs["retries"]) == (number, 0, retries)
            assert (attrs["phase"], attrs["arm"], attrs["seed"]) == ("explore", "a", 7)
            assert attrs["run_before"][0] == f"key {number}"
            assert not {"outcome", "claimed", "next_attempt"} & set(attrs)
            number = claimed.number
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3


def test_what_was_cut_off_from_outside_does_not_count(study: optuna.Study) -> None:
    number = claim(study, "me")
    for _ in range(4):
        assert attempts.fail(study, number, Ending("interrupted", "stopped", Again.FREE), max_retries=0)
        claimed = attempts.claim(study, "me")
        assert claimed is not None
        number = claimed.number
    assert study.trials[number].user_attrs["retries"] == 0


def test_a_next_attempt_that_was_promised_is_queued_once(study: optuna.Study) -> None:
    number = claim(study, "me")
    trial_id = study.trials[number]._trial_id
    study._storage.set_trial_user_attr(trial_id, "next_attempt", 1)  # and killed before queueing it
    study._storage.set_trial_state_values(trial_id, TrialState.FAIL)
    assert attempts.queue_missing(study) == 1
    assert attempts.queue_missing(study) == 0
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_who_was_given_up_for_dead_is_fenced_off(study: optuna.Study) -> None:
    number = claim(study, "me")
    trial_id = study.trials[number]._trial_id
    attempts.fail(study, number, Ending("lost", "gone", Again.COUNTED), max_retries=2)
    with pytest.raises(FencedError):
        attempts.finish(study, trial_id, TrialState.COMPLETE, [1.0])
    other = study.trials[claim(study, "me")]._trial_id
    attempts.finish(study, other, TrialState.COMPLETE, [1.0])
    attempts.finish(study, other, TrialState.COMPLETE, [1.0])
