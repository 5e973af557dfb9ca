"""Everything that may disagree is found, mended, and then not found again."""

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sweep.store.home import Home
from sweep.tracking.run import close_run
from tests.sweep.engine.conftest import Lab, make_lab


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Lab]:
    """A finished study of eight trials, and one of each thing that can be wrong with it."""
    lab = make_lab(tmp_path_factory.mktemp("damaged") / "home", prepared)
    lab.run("--set", "epochs=1", "--workers", "1", "--trials", "8")
    assert lab.doctor()["ok"]
    study = optuna.load_study(study_name="tiny", storage=lab.storage)
    client, runs = lab.client(), [trial.user_attrs["mlflow_run_id"] for trial in study.trials]
    experiment = study.user_attrs["mlflow_experiment_id"]
    parent = {"mlflow.parentRunId": study.user_attrs["mlflow_run_id"]}

    client.update_run(runs[0], status="RUNNING")
    client.set_tag(runs[1], "outcome", "collapsed")
    client.log_metric(runs[2], "objective", -1.0, step=1)
    client.delete_run(runs[3])
    with sqlite3.connect(lab.home / "optuna.db") as connection:
        connection.execute("delete from trial_user_attributes where trial_id = 5 and key = 'mlflow_run_id'")
    client.create_run(experiment, tags=parent)
    client.update_run(study.user_attrs["mlflow_run_id"], status="RUNNING")
    study.enqueue_trial({"seed": 9}, user_attrs={"phase": "explore", "arm": "seed 9"})
    study._storage.set_trial_state_values(study.trials[8]._trial_id, TrialState.RUNNING)
    where = {"experiment": experiment, "name": "trial 006", "run_id": runs[6], "attempt": 6, "trial": None}
    key = study.trials[6].user_attrs["run_key"]
    close_run(Home(lab.home).spool, key, where, "FINISHED", {"outcome": "budget"})
    (lab.home / "checkpoints/tiny/7/state.pt").write_bytes(b"left over")
    yield lab
    lab.end()


def test_each_is_shown_then_mended_then_gone(damaged: Lab) -> None:
    shown = damaged.doctor()
    kinds = {
        "open run",
        "difference",
        "missing run",
        "missing link",
        "run without a trial",
        "lost trial",
        "spool",
        "old checkpoint",
    }
    assert not shown["ok"]
    assert {finding["kind"] for finding in shown["findings"]} == kinds
    assert damaged.doctor()["findings"] == shown["findings"]
    mended = damaged.doctor("--fix")
    assert {finding["kind"] for finding in mended["findings"]} == kinds
    again = damaged.doctor()
    assert again["findings"] == []
    assert again["ok"]

    trials, client = damaged.trials(), damaged.client()
    for trial in trials[:8]:
        run = client.get_run(trial.user_attrs["mlflow_run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.metrics.get("objective", math.inf) == trial.value
        assert run.data.tags["outcome"] == trial.user_attrs["outcome"]
    assert "rebuilt" in client.get_run(trials[3].user_attrs["mlflow_run_id"]).data.tags
    assert trials[8].state is TrialState.FAIL
    assert (trials[9].state, trials[9].user_attrs["retry_of"]) == (TrialState.WAITING, 8)
    assert "outcome" not in trials[9].user_attrs
    assert (damaged.home / "checkpoints/tiny/7/model.pt").exists()
    damaged.run("--set", "epochs=1", "--workers", "1")
    assert damaged.trials()[9].params == {"seed": 9}
