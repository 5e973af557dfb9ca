"""Several machines on one PostgreSQL: homes of their own, one study, and a password that nobody shows."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import RUN, Lab, Prepared, make_lab
from tests.sweep.processes import kill_tree, wait_until
from tests.sweep.servers import PASSWORD, database, running_server

ONE_WORKER = ("--workers", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with running_server() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, prepared: Prepared, server: Any) -> Iterator[Lab]:
    """The first machine; the others reach its tracking store and its checkpoints."""
    home = tmp_path / "home"
    lab = make_lab(
        home,
        prepared,
        SWEEP_STORAGE=database(server, tmp_path.name),
        SWEEP_TRACKING_URI=f"sqlite:///{home / 'mlflow.db'}",
        SWEEP_CHECKPOINT_URI=f"file://{tmp_path / 'shared'}",
        SWEEP_HEARTBEAT_SECONDS="1",
    )
    yield lab
    lab.end()


def _machine(lab: Lab, prepared: Prepared, name: str) -> Path:
    home = lab.home.parent / name
    prepared.fill(home)
    return home


def _owner(trial: optuna.trial.FrozenTrial) -> str:
    """Of a trial that runs but is not signed yet, nobody."""
    return str(trial.user_attrs.get("claimed", {}).get("by", "nobody 0"))


@pytest.mark.slow
def test_two_machines_share_a_study_through_a_restart_of_its_server(
    lab: Lab, prepared: Prepared, server: Any, tmp_path: Path
) -> None:
    run = lab.start(*RUN, "--workers", "1", "--set", "epochs=100", "--trials", "10")
    wait_until(lab.running)
    other = lab.start("worker", "tiny", *ONE_WORKER, home=_machine(lab, prepared, "other"))
    wait_until(lambda: len({_owner(t) for t in lab.trials() if "claimed" in t.user_attrs}) == 2)
    server.psql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{tmp_path.name}';")
    wait_until(lambda: len(lab.finished()) > 2, timeout_s=200)
    server.stop()
    time.sleep(2)
    server.start()
    outputs = [process.communicate(timeout=280)[0] for process in (run, other)]
    assert (run.returncode, other.returncode) == (0, 0), outputs
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * 10
    lab.assert_whole(list(range(10)))
    _assert_nothing_shows_the_password(tmp_path, server, outputs)


def _assert_nothing_shows_the_password(folder: Path, server: Any, outputs: list[str]) -> None:
    plain, quoted = PASSWORD, "s3cret-Pass%25word"
    for text in outputs:
        assert plain not in text
        assert quoted not in text
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert plain.encode() not in content, path
            assert quoted.encode() not in content, path
    rows = server.psql(
        f'\\connect "{folder.name}"\nselect value_json from study_user_attributes;\n'
        "select value_json from trial_user_attributes;\nselect * from sweep_supervisors;"
    )
    assert "s3cret" not in rows


@pytest.mark.slow
def test_a_trial_of_a_dead_machine_goes_on_elsewhere_from_its_shared_checkpoint(
    lab: Lab, prepared: Prepared
) -> None:
    """The machine that dies is told from the others by its name alone, as a real one would be."""
    run = lab.start(*RUN, "--workers", "1", "--set", "epochs=600", "--trials", "2")
    wait_until(lab.running)
    other = lab.start("worker", "tiny", *ONE_WORKER, home=_machine(lab, prepared, "other"))
    shared = lab.home.parent / "shared/tiny"

    def far() -> list[optuna.trial.FrozenTrial]:
        """Of the other machine, with a checkpoint."""
        return [
            t
            for t in lab.running()
            if _owner(t).split()[1] == str(other.pid) and (shared / str(t.number) / "state.pt").exists()
        ]

    wait_until(far)
    number = far()[0].number
    kill_tree(other.pid)
    out, _ = run.communicate(timeout=280)
    assert run.returncode == 0, out
    again = [trial for trial in lab.trials() if trial.user_attrs.get("retry_of") == number]
    assert [trial.state for trial in again] == [TrialState.COMPLETE]
    assert again[0].user_attrs["mlflow_run_id"] == lab.trials()[number].user_attrs["mlflow_run_id"]
    assert not list(shared.glob("*/state.pt"))


@pytest.mark.slow
def test_four_workers_run_forty_trials_once_each(lab: Lab, prepared: Prepared) -> None:
    run = lab.start(*RUN, "--workers", "1", "--set", "epochs=1", "--trials", "40")
    wait_until(lab.running)
    others = [
        lab.start("worker", "tiny", *ONE_WORKER, home=_machine(lab, prepared, f"other {number}"))
        for number in range(3)
    ]
    for process in (run, *others):
        out, _ = process.communicate(timeout=280)
        assert process.returncode == 0, out
    trials = lab.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 40
    assert len({trial.user_attrs["mlflow_run_id"] for trial in trials}) == 40
    assert len({_owner(trial) for trial in trials}) > 1


def test_a_server_that_is_not_there_is_one_sentence_without_its_password(
    tmp_path: Path, prepared: Prepared
) -> None:
    url = "postgresql+psycopg://somebody:s3cret-Pass%25word@127.0.0.1:9/nothing"
    lab = make_lab(tmp_path / "home", prepared, SWEEP_STORAGE=url)
    done = lab.sweep("status", "tiny")
    assert done.returncode == 2
    assert len(done.stdout.strip().splitlines()) == 1
    assert "127.0.0.1:9" in done.stdout
    assert "s3cret" not in done.stdout
    wrong = lab.sweep("status", "tiny", "--storage", "mysql://somebody:s3cret-Pass@127.0.0.1/nothing")
    assert wrong.returncode == 2
    assert "s3cret" not in wrong.stdout
