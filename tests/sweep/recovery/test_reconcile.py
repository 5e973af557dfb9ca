"""Everything that may disagree is found, fixed, and then not found again."""

import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.trial import TrialState

from sweep.store.home import Home
from sweep.store.links import DEFAULT_TRACKER
from sweep.tracking.run import close_run
from sweep.tracking.trackers import PARENT, Tracker
from tests.sweep.conftest import TRACKERS, Lab


def _delete(tracker: Tracker, run_id: str) -> None:
    """As a person would."""
    if tracker.name == "mlflow":
        mlflow.MlflowClient(tracker.home.mlflow_url).delete_run(run_id)
    else:
        shutil.rmtree(next(Path(tracker.location).glob(f"*/{run_id}")))


MLFLOW_FAST = [
    pytest.param(name, marks=() if name == DEFAULT_TRACKER else pytest.mark.slow) for name in TRACKERS
]
"""Of both, the one whose runs have more that can disagree."""


@pytest.fixture(params=MLFLOW_FAST)
def damaged(request: pytest.FixtureRequest, labs: Callable[..., Lab]) -> Lab:
    """A finished study of eight trials, and one of each thing that can be wrong with it."""
    lab = labs("home", SWEEP_TRACKER=request.param)
    lab.run("--set", "epochs=1", "--workers", "1", "--trials", "8")
    assert lab.doctor()["ok"]
    study = optuna.load_study(study_name="tiny", storage=lab.storage)
    tracker, runs = lab.tracker(), [trial.user_attrs["mlflow_run_id"] for trial in study.trials]
    experiment, parent = study.user_attrs["mlflow_experiment_id"], study.user_attrs["mlflow_run_id"]

    tracker.reopen(runs[0], "trial 000")
    tracker.tags(runs[1], {"outcome": "collapsed"})
    tracker.metrics(runs[2], [("objective", -1.0, 0, 1)])
    _delete(tracker, runs[3])
    with sqlite3.connect(lab.home / "optuna.db") as connection:
        connection.execute("delete from trial_user_attributes where trial_id = 5 and key = 'mlflow_run_id'")
    tracker.create(experiment, "tiny.stray", "stray", {PARENT: parent}, 0)
    tracker.reopen(parent, "tiny")
    study.enqueue_trial({"seed": 9}, user_attrs={"phase": "explore", "arm": "seed 9"})
    study._storage.set_trial_state_values(study.trials[8]._trial_id, TrialState.RUNNING)
    where = {"experiment": experiment, "name": "trial 006", "run_id": runs[6], "attempt": 6, "trial": None}
    where["tracker"] = tracker.name
    key = study.trials[6].user_attrs["run_key"]
    close_run(Home(lab.home).spool, key, where, "FINISHED", {"outcome": "budget"})
    (lab.home / "checkpoints/tiny/7/state.pt").write_bytes(b"left over")
    return lab


def test_each_is_shown_then_fixed_then_gone(damaged: Lab) -> None:
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
    fixed = damaged.doctor("--fix")
    assert {finding["kind"] for finding in fixed["findings"]} == kinds
    again = damaged.doctor()
    assert again["findings"] == []
    assert again["ok"]

    trials = damaged.trials()
    for trial in trials[:8]:
        run = damaged.run_of(trial)
        assert run.status == "FINISHED"
        assert run.metrics.get("objective", math.inf) == trial.value
        assert run.tags["outcome"] == trial.user_attrs["outcome"]
    assert "rebuilt" in damaged.run_of(trials[3]).tags
    assert trials[8].state is TrialState.FAIL
    assert (trials[9].state, trials[9].user_attrs["retry_of"]) == (TrialState.WAITING, 8)
    assert "outcome" not in trials[9].user_attrs
    assert (damaged.home / "checkpoints/tiny/7/model.pt").exists()
    damaged.run("--set", "epochs=1", "--workers", "1")
    assert damaged.trials()[9].params == {"seed": 9}
