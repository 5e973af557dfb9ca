"""`sweep run` as a user types it, and what the two stores hold afterwards."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pyarrow.parquet as pq
import pytest
import torch

from sweep.store.home import Home
from sweep.study import load_study
from sweep.tracking import trackers
from tests.conftest import run_here
from tests.sweep.cli.small_study import SEEDS

SMALL = str(Path(__file__).parent / "small_study.py")


def _status(home: Path, name: str = "depth_study") -> dict[str, Any]:
    done = run_here("status", name, "--json", home=home)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _trials(home: Path, name: str = "depth_study") -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{home / 'optuna.db'}")
    return study.get_trials(deepcopy=False)


def _client(home: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def test_status_counts_the_trials(smoke_home: Path) -> None:
    status = _status(smoke_home)
    phases = Counter(t.user_attrs["phase"] for t in _trials(smoke_home))
    assert phases["explore"] == 3
    plan = load_study("depth_study").plan("smoke")
    assert plan.blocks
    assert phases["block"] == plan.blocks.most * len(plan.block_arms())
    assert status["trials"]["complete"] == phases.total()
    assert sum(status["outcomes"].values()) == phases.total()
    # Blocks are validated on tiles of their own.
    best = min(t.values[0] for t in _trials(smoke_home) if t.user_attrs["phase"] == "explore")
    assert status["best"]["value"] == best
    assert status["seconds"] > 0
    assert set(status["best"]) >= {"trial", "value", "params", "run_id"}


def test_every_trial_and_its_run_agree(smoke_home: Path) -> None:
    client = _client(smoke_home)
    parent = _status(smoke_home)["mlflow_run_id"]
    for trial in _trials(smoke_home):
        run = client.get_run(trial.user_attrs["mlflow_run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.tags["trial"] == str(trial.number)
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.data.tags["outcome"] == trial.user_attrs["outcome"]
        assert len(run.data.metrics) >= 12
        assert run.inputs.dataset_inputs[0].dataset.digest
        assert (run.data.tags["phase"], run.data.tags["arm"]) == (
            trial.user_attrs["phase"],
            trial.user_attrs["arm"],
        )
        if math.isfinite(trial.values[0]):
            assert run.data.metrics["objective"] == trial.values[0]
        assert all(abs(value) < 1e300 for value in run.data.metrics.values())
        for path, value in trial.params.items():
            recorded = run.data.params[path]
            assert recorded == str(value) or float(recorded) == value


def test_no_run_is_left_running(smoke_home: Path) -> None:
    client = _client(smoke_home)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, filter_string="attributes.status = 'RUNNING'")
    assert list(runs) == []


def test_a_run_holds_its_pictures_config_and_whole_series(smoke_home: Path, tmp_path: Path) -> None:
    client = _client(smoke_home)
    for trial in _trials(smoke_home):
        run_id = trial.user_attrs["mlflow_run_id"]
        images = [f.path for f in client.list_artifacts(run_id, "images") if f.path.endswith(".png")]
        steps = {path.split("step")[1].split("timestamp")[0] for path in images}
        assert len(steps) >= 2
        files = {f.path for f in client.list_artifacts(run_id)}
        assert {"config.json", "provenance.json", "series"} <= files
        config = json.loads(Path(client.download_artifacts(run_id, "config.json", str(tmp_path))).read_text())
        assert config["seed"] == trial.user_attrs["seed"]
        assert "auto" not in json.dumps(config)
        series = pq.read_table(client.download_artifacts(run_id, "series/steps.parquet", str(tmp_path)))
        assert series.num_rows == trial.user_attrs["steps"]
        wanted = {"step", "epoch", "loss", "recon_loss", "kl", "kl_weight", "lr", "grad_norm", "clipped"}
        assert wanted | {"update_ratio", "max_logvar"} <= set(series.column_names)


def test_the_dashboard_has_a_picture_of_every_trial(smoke_home: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{smoke_home / 'optuna.db'}")
    for trial in _trials(smoke_home):
        metas = optuna.artifacts.get_all_artifact_meta(trial, storage=storage)
        assert [meta.mimetype for meta in metas] == ["image/png"]
        assert (smoke_home / "optuna_artifacts" / metas[0].artifact_id).stat().st_size > 1000


def test_an_export_has_a_row_for_every_trial(smoke_home: Path, tmp_path: Path) -> None:
    trials = _trials(smoke_home)
    for form in ("csv", "json", "parquet"):
        out = tmp_path / f"trials.{form}"
        done = run_here("export", "depth_study", "--format", form, "--out", str(out), home=smoke_home)
        assert done.returncode == 0, done.stderr
    exported = json.loads((tmp_path / "trials.json").read_text())
    assert [row["objective"] for row in exported] == [
        t.values[0] if math.isfinite(t.values[0]) else None for t in trials
    ]
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == len(trials) + 1
    assert pq.read_table(tmp_path / "trials.parquet").num_rows == len(trials)


def test_samples_depend_only_on_the_seed(smoke_home: Path, tmp_path: Path) -> None:
    pictures = []
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        out = tmp_path / name
        done = run_here(
            *("generate", "depth_study", "--count", "9", "--seed", str(seed), "--out", str(out)),
            home=smoke_home,
        )
        assert done.returncode == 0, done.stderr
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_the_report_needs_no_network(smoke_report: dict[str, Any]) -> None:
    page = Path(smoke_report["path"]).read_text()
    assert f"{smoke_report['best']['value']:.6g}" in page
    assert 'src="http' not in page
    assert "data:image/png;base64," in page


def _run_small(home: Path, *words: str) -> str:
    done = run_here("run", SMALL, *words, home=home)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run_thrice(folder: Path) -> None:
    """Two trials, a third, and those of another scale at a rate at which all diverge."""
    home = folder / "home"
    in_files = ("--workers", "1", "--scale", "smoke", "--tracker", "files")
    _run_small(home, *in_files, "--trials", "2")
    (folder / "first.json").write_text(json.dumps(_status(home, "small")))
    _run_small(home, *in_files, "--trials", "1")
    said = _run_small(home, "--workers", "1", "--scale", "laptop", "--trials", "3", "--set", "optim.lr=1e4")
    (folder / "said.txt").write_text(said)


@pytest.fixture(scope="session")
def small(made_once: Callable[..., Path]) -> Path:
    """A folder with the home in which the small study was run three times, and what was said."""
    return made_once("small", _run_thrice)


def _status_of_run(home: Path, run_id: str) -> str:
    run = trackers.build(Home(home, tracker="files")).run(run_id)
    assert run is not None
    return run.status


def test_the_same_run_continues_the_study(small: Path) -> None:
    home, first = small / "home", json.loads((small / "first.json").read_text())
    trials = _trials(home, "small")
    assert [t.user_attrs["phase"] for t in trials][: first["trials"]["complete"]].count("explore") == 2
    assert [t.user_attrs["phase"] for t in trials].count("explore") == 3
    status = _status(home, "small")
    assert status["mlflow_run_id"] == first["mlflow_run_id"]
    assert _status_of_run(home, status["mlflow_run_id"]) == "FINISHED"


def test_another_space_is_refused_and_changes_nothing(small: Path) -> None:
    home = small / "home"
    before = _status(home, "small")
    words = ("--scale", "smoke", "--set", "optim.lr=0.001", "--trials", "1")
    changed = run_here("run", SMALL, *words, home=home)
    assert changed.returncode == 2
    assert "optim.lr" in changed.stderr
    assert "--name" in changed.stderr
    assert len(changed.stderr.strip().splitlines()) == 1
    assert _status(home, "small") == before
    assert _status_of_run(home, before["mlflow_run_id"]) == "FINISHED"


def test_another_scale_in_the_same_home_gets_a_name_of_its_own(small: Path) -> None:
    assert "recorded as small-laptop" in (small / "said.txt").read_text()
    listed = json.loads(run_here("list", "--json", home=small / "home").stdout)
    assert {s["study"] for s in listed["recorded"]} == {"small", "small-laptop"}


def test_diverged_trials_are_results(small: Path) -> None:
    home = small / "home"
    assert "3 trials diverged" in (small / "said.txt").read_text()
    assert _status(home, "small-laptop")["best"] is None
    client = _client(home)
    for trial in _trials(home, "small-laptop"):
        assert trial.state is optuna.trial.TrialState.COMPLETE
        assert trial.values == [math.inf]
        assert trial.user_attrs["outcome"] in ("nonfinite", "diverged")
        assert trial.user_attrs["outcome_step"] >= 0
        assert math.isfinite(trial.user_attrs["last_finite_loss"])
        run = client.get_run(trial.user_attrs["mlflow_run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.metrics["diverged"] == 1
        assert "objective" not in run.data.metrics
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            assert all(abs(point.value) < 1e300 for point in history)


@pytest.fixture(scope="session")
def shared(made_once: Callable[..., Path]) -> Path:
    """A home in which two workers ran the first two trials of `small` once more."""
    words = ("--scale", "smoke", "--trials", "2", "--workers", "2", "--tracker", "files")
    return made_once("shared", lambda home: _run_small(home, *words))


def test_one_trial_run_twice_gives_equal_weights(small: Path, shared: Path) -> None:
    one, other = (
        torch.load(home / "checkpoints/small/0/model.pt", weights_only=True)["weights"]
        for home in (small / "home", shared)
    )
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_workers_share_the_trials_and_no_trial_runs_twice(shared: Path) -> None:
    """With two trials there are two arms, and so few confirming trials."""
    trials = _trials(shared, "small")
    assert [t.number for t in trials] == list(range(2 + 2 * SEEDS))
    assert [t.user_attrs["phase"] for t in trials].count("explore") == 2
    assert len({t.user_attrs["mlflow_run_id"] for t in trials}) == len(trials)
    asked = [(t.user_attrs["phase"], t.user_attrs["arm"], t.user_attrs["seed"]) for t in trials]
    assert len(set(asked)) == len(asked)
