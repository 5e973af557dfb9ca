"""Stores that are opened by many, cut off, restarted; and who is taken for dead."""

import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.recovery import attempts
from sweep.recovery import heartbeat as presence
from sweep.recovery.attempts import Again, Ending, FencedError
from sweep.recovery.heartbeat import SUPERVISORS, Presence
from sweep.store.home import Home
from sweep.store.optuna_internals import engine_of
from sweep.store.retry import is_disk_full
from sweep.store.sql_summary import count
from sweep.store.storage import open_optuna, study_lock
from sweep.store.summary import summarise
from sweep.tracking.client import Tracker
from tests.sweep.engine.servers import database, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    storage = None
    if request.param == "postgresql":
        storage = database(request.getfixturevalue("server"), tmp_path.name)
    return Home(tmp_path / "home", storage).create()


@pytest.fixture
def opened() -> Iterator[Callable[[Home], RDBStorage]]:
    """opened(home): the home's store, whose connections are closed in the end."""
    storages: list[RDBStorage] = []

    def open_it(home: Home) -> RDBStorage:
        storages.append(open_optuna(home))
        return storages[-1]

    yield open_it
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture
def study(home: Home, opened: Callable[[Home], RDBStorage]) -> optuna.Study:
    study = optuna.create_study(study_name="tiny", storage=opened(home))
    presence.create_table(engine_of(study))
    return study


def _claim(study: optuna.Study, owner: str, **attrs: Any) -> int:
    study.enqueue_trial({"x": 0.5}, user_attrs=attrs)
    trial = attempts.claim(study, owner)
    assert trial is not None
    return trial.number


def _open_both(home: Home, gate: Any, answers: Any) -> None:
    gate.wait()
    try:
        optuna.create_study(study_name="tiny", storage=open_optuna(home), load_if_exists=True)
        Tracker(home).experiment("tiny", "A study.")
        answers.put("")
    except BaseException as error:
        answers.put(repr(error))


def test_eight_processes_open_fresh_stores_at_once(home: Home, opened: Callable[[Home], RDBStorage]) -> None:
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_open_both, args=(home, gate, answers)) for _ in range(8)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=120) for _ in processes] == [""] * 8
    for process in processes:
        process.join()
    assert [s.study_name for s in opened(home).get_all_studies()] == ["tiny"]


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


def test_who_is_dead_and_who_is_not(study: optuna.Study) -> None:
    with Presence(study, workers=1) as here:
        mine = _claim(study, here.id)
        gone_here = _claim(study, here.id.rsplit(" ", 1)[0] + " 1")
        elsewhere = {age: f"otherhost:boot:ns {int(age)} 7" for age in (5.0, 1e4)}
        engine = engine_of(study)
        with engine.begin() as connection:
            for age, owner in elsewhere.items():
                seen = presence._now(engine) - age
                row = {"id": owner, "study_id": study._study_id, "workers": 1, "seen": seen}
                connection.execute(SUPERVISORS.insert().values(row))
        alive, stale = (_claim(study, owner) for owner in elsewhere.values())
        unknown = _claim(study, "otherhost:boot:ns 99 7")
        found = {trial.number for trial in attempts.orphans(study, here.id, {})}
        assert found == {gone_here, stale, unknown}
        assert not found & {mine, alive}
        presence.forget_dead(study)
        assert set(presence.ages(study)) == {here.id, elsewhere[5.0]}
    assert set(presence.ages(study)) == {elsewhere[5.0]}


def test_a_trial_without_a_name_is_left_alone_while_others_may_be_about_to_name_it(
    study: optuna.Study,
) -> None:
    study.enqueue_trial({"x": 0.5})
    study._storage.set_trial_state_values(study.trials[0]._trial_id, TrialState.RUNNING)
    seen: dict[int, float] = {}
    with Presence(study, workers=1) as other:
        assert attempts.orphans(study, "somebody else", seen) == []
        seen[0] = time.monotonic() - 1e4
        assert [t.number for t in attempts.orphans(study, "somebody else", seen)] == [0]
        assert [t.number for t in attempts.orphans(study, other.id, {})] == [0]


def test_a_failed_trial_is_queued_again_so_often_and_keeps_what_it_was_given(study: optuna.Study) -> None:
    number = _claim(study, "me", phase="explore", arm="a")
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
    number = _claim(study, "me")
    for _ in range(4):
        assert attempts.fail(study, number, Ending("interrupted", "stopped", Again.FREE), max_retries=0)
        claimed = attempts.claim(study, "me")
        assert claimed is not None
        number = claimed.number
    assert study.trials[number].user_attrs["retries"] == 0


def test_a_next_attempt_that_was_promised_is_queued_once(study: optuna.Study) -> None:
    number = _claim(study, "me")
    trial_id = study.trials[number]._trial_id
    study._storage.set_trial_user_attr(trial_id, "next_attempt", 1)  # and killed before queueing it
    study._storage.set_trial_state_values(trial_id, TrialState.FAIL)
    assert attempts.queue_missing(study) == 1
    assert attempts.queue_missing(study) == 0
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_who_was_given_up_for_dead_is_fenced_off(study: optuna.Study) -> None:
    number = _claim(study, "me")
    trial_id = study.trials[number]._trial_id
    attempts.fail(study, number, Ending("lost", "gone", Again.COUNTED), max_retries=2)
    with pytest.raises(FencedError):
        attempts.finish(study, trial_id, TrialState.COMPLETE, [1.0])
    other = study.trials[_claim(study, "me")]._trial_id
    attempts.finish(study, other, TrialState.COMPLETE, [1.0])
    attempts.finish(study, other, TrialState.COMPLETE, [1.0])


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
        number = _claim(study, "me", seed=1, outcome="budget" if value else "crashed")
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
    with Presence(study, workers=1):
        for number in range(9):
            if number % 3 == 1:
                cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'restarted';"
                server.psql(cut)
            if number % 3 == 2:
                server.stop()
                threading.Timer(1.0, server.start).start()
            with study_lock(study):
                assert _claim(study, "me") == number
            attempts.finish(study, study.trials[number]._trial_id, TrialState.COMPLETE, [1.0])
        assert presence.ages(study)
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
        assert _claim(study, "me") == 0
    with study_lock(study):
        assert _claim(study, "me") == 1


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
