"""A trial and its run know each other, even if the run came to be after the trial had ended."""

from collections.abc import Callable

import optuna
from optuna.storages import RDBStorage
from optuna.trial import create_trial

from sweep.store.home import Home
from sweep.store.links import run_id_of, run_linker


def test_a_trial_names_its_run_whether_it_has_ended_or_not(
    home: Home, study: optuna.Study, opened: Callable[[Home], RDBStorage]
) -> None:
    study.add_trial(create_trial(value=1.0))
    study.ask()
    link = run_linker(opened(home))
    for number in range(2):
        assert run_id_of(study.trials[number]) is None
        link("tiny", number, "first")
        link("tiny", number, f"run {number}")
    fresh = optuna.load_study(study_name="tiny", storage=opened(home))
    assert [run_id_of(trial) for trial in fresh.trials] == ["run 0", "run 1"]


def test_a_journal_of_another_store_changes_nothing(
    home: Home, study: optuna.Study, opened: Callable[[Home], RDBStorage]
) -> None:
    study.add_trial(create_trial(value=1.0))
    link = run_linker(opened(home))
    link("another", 0, "run 0")
    link("tiny", 7, "run 7")
    assert [trial.user_attrs for trial in study.trials] == [{}]
