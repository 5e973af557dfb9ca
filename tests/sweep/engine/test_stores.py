"""Stores that are opened by many processes, cut off and restarted."""

import math
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.recovery import attempts, heartbeat
from sweep.recovery.attempts import Again, Ending
from sweep.recovery.heartbeat import Heartbeat
from sweep.store.home import Home
from sweep.store.optuna_internals import engine_of
from sweep.store.retry import is_disk_full
from sweep.store.sql_summary import count
from sweep.store.storage import open_optuna, study_lock
from sweep.store.summary import summarise
from sweep.tracking import trackers
from tests.sweep.conftest import claim
from tests.sweep.servers import database


def _open_both(home: Home, gate: Any, answers: Any) -> None:
    gate.wait()
    try:
        optuna.create_study(study_name="tiny", storage=open_optuna(home), load_if_exists=True)
        trackers.build(home).experiment("tiny", "A study.")
        answers.put("")
    except BaseException as error:
        answers.put(repr(error))


def test_eight_processes_open_fresh_stores_at_once(home: Home, opened: Callable[[Home], RDBStorage]) -> None:
    # Before they are forked: each would take seconds to import it, and none the same time.
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking._tracking_service.registry  # noqa: F401

    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_open_both, args=(home, gate, answers)) for _ in range(8)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=120) for _ in processes] == [""] * 8
    for process in processes:
        process.join()
    assert [s.study_name for s in opened(home).get_all_studies()] == ["tiny"]


def test_trials_are_read_as_optuna_reads_them(home: Home, opened: Callable[[Home], RDBStorage]) -> None:
    study = optuna.create_study(study_name="tiny", storage=opened(home))
    another = optuna.create_study(study_name="another", storage=study._storage)
    space = {
        "x": FloatDistribution(1e-3, 1, log=True),
        "n": IntDistribution(1, 9),
        "c": CategoricalDistribution(["a", None, 2]),
    }
    for ending in (0.5, math.inf, -math.inf, TrialState.FAIL, TrialState.PRUNED, None):
        another.ask(space)
        trial = study.ask(space)
        for step, value in enumerate((1.0, math.nan, math.inf, -math.inf)):
            trial.report(value, step)
        trial.set_user_attr("what", {"nested": [1, "two"]})
        if isinstance(ending, float):
            study.tell(trial, ending)
        elif ending is not None:
            study.tell(trial, state=ending)
    study.enqueue_trial({"x": 0.1})
    study.enqueue_trial({"x": 0.1})
    fresh = optuna.load_study(study_name="tiny", storage=opened(home))
    plain = RDBStorage(home.optuna_url)

    def assert_same(count: int) -> None:
        assert repr(fresh.get_trials()) == repr(plain.get_all_trials(study._study_id))
        assert len(fresh.get_trials()) == count

    assert_same(8)
    # One that was known unfinished, and one that is new.
    study.tell(5, 0.25)
    study.tell(study.ask(), 0.75)
    assert_same(8)
    study.enqueue_trial({"x": 0.2})
    assert_same(9)
    plain.engine.dispose()


def test_counting_in_the_database_finds_what_loading_finds(study: optuna.Study) -> None:
    values = [3.0, math.inf, 1.0, 2.0, None]
    for value in values:
        number = claim(study, "me", seed=1, outcome="budget" if value else "crashed")
        trial_id = study.trials[number]._trial_id
        if value is None:
            attempts.fail(study, number, Ending("crashed", "killed", Again.COUNTED), max_retries=2)
        else:
            attempts.finish(study, trial_id, TrialState.COMPLETE, [value])
    counted, loaded = count(study).as_dict(), summarise(study).as_dict()
    assert counted == loaded
    assert counted["best"]["value"] == 1.0
    assert counted["trials"] == {"running": 0, "complete": 4, "pruned": 0, "fail": 1, "waiting": 1}


def test_cut_connections_and_a_restart_cost_waiting_only(
    server: Any, tmp_path: Path, opened: Callable[[Home], RDBStorage]
) -> None:
    home = Home(tmp_path / "home", database(server, "restarted")).create()
    study = optuna.create_study(study_name="tiny", storage=opened(home))
    with Heartbeat(study, workers=1):
        for number in range(9):
            if number % 3 == 1:
                cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'restarted';"
                server.psql(cut)
            if number % 3 == 2:
                server.stop()
                threading.Timer(1.0, server.start).start()
            with study_lock(study):
                assert claim(study, "me") == number
            attempts.finish(study, study.trials[number]._trial_id, TrialState.COMPLETE, [1.0])
        assert heartbeat.ages(study)
    assert len(study.trials) == 9


def test_a_connection_that_is_cut_inside_the_lock_ends_nothing(
    server: Any, tmp_path: Path, opened: Callable[[Home], RDBStorage]
) -> None:
    """The server has freed the lock with the connection: there is nothing left to give back."""
    study = optuna.create_study(
        study_name="tiny", storage=opened(Home(tmp_path / "home", database(server, "inside")).create())
    )
    with study_lock(study):
        server.psql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'inside';")
        assert claim(study, "me") == 0
    with study_lock(study):
        assert claim(study, "me") == 1


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_connection_that_is_cut_in_the_middle_of_a_reading_ends_nothing(
    server: Any, tmp_path: Path, opened: Callable[[Home], RDBStorage], moment: int
) -> None:
    """Reading the trials is several questions; the connection is gone before one of them."""
    study = optuna.create_study(
        study_name="tiny", storage=opened(Home(tmp_path / "home", database(server, tmp_path.name)).create())
    )
    study.add_trials([optuna.trial.create_trial(value=1.0), optuna.trial.create_trial(value=2.0)])
    study.ask()
    asked = 0

    def cut(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == moment:
            server.psql(
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{tmp_path.name}';"
            )

    sqlalchemy.event.listen(engine_of(study), "before_cursor_execute", cut)
    assert [trial.value for trial in study.get_trials()] == [1.0, 2.0, None]
    assert asked >= moment


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("database or disk is full"),
        RuntimeError("PytorchStreamWriter failed: No space left on device"),
    ],
)
def test_a_full_disk_is_known_by_any_of_its_names(error: Exception) -> None:
    outer = ValueError("wrapped")
    outer.__cause__ = error
    assert is_disk_full(error)
    assert is_disk_full(outer)
    assert not is_disk_full(ValueError("something else"))
