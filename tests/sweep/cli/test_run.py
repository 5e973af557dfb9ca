"""`sweep run` as a user types it, and what the two stores hold afterwards."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import run_module

ONE_EPOCH = ("--scale", "smoke", "--set", "epochs=1")


def _status(home: Path) -> dict[str, Any]:
    done = run_module("sweep", "status", "depth_study", "--json", home=home)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _trials(home: Path) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name="depth_study", storage=f"sqlite:///{home / 'optuna.db'}")
    return study.get_trials(deepcopy=False)


def _client(home: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def test_status_counts_the_trials(smoke_home: Path) -> None:
    status = _status(smoke_home)
    phases = Counter(t.user_attrs["phase"] for t in _trials(smoke_home))
    assert phases["explore"] == 6
    assert phases["confirm"] == 5 * len({t.user_attrs["arm"] for t in _trials(smoke_home)})
    assert status["trials"]["complete"] == phases.total()
    assert sum(status["outcomes"].values()) == phases.total()
    best = min(t.values[0] for t in _trials(smoke_home))
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
        done = run_module(
            "sweep", "export", "depth_study", "--format", form, "--out", str(out), home=smoke_home
        )
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
        done = run_module(
            *("sweep", "generate", "depth_study", "--count", "9", "--seed", str(seed), "--out", str(out)),
            home=smoke_home,
        )
        assert done.returncode == 0, done.stderr
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_the_report_needs_no_network(smoke_home: Path) -> None:
    done = run_module("sweep", "report", "depth_study", "--json", home=smoke_home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    page = Path(document["path"]).read_text()
    assert f"{document['best']['value']:.6g}" in page
    assert 'src="http' not in page
    assert "data:image/png;base64," in page


def test_the_same_run_continues_the_study_and_another_space_is_refused(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    first = run_module("sweep", "run", "depth_study", *ONE_EPOCH, "--trials", "2", home=home)
    assert first.returncode == 0, first.stderr
    parent = _status(home)["mlflow_run_id"]
    again = run_module("sweep", "run", "depth_study", *ONE_EPOCH, "--trials", "2", home=home)
    assert again.returncode == 0, again.stderr
    status = _status(home)
    count = status["trials"]["complete"]
    assert [t.user_attrs["phase"] for t in _trials(home)].count("explore") == 4
    assert status["mlflow_run_id"] == parent
    assert _client(home).get_run(parent).info.status == "FINISHED"

    changed = run_module(
        "sweep", "run", "depth_study", *ONE_EPOCH, "--set", "optim.lr=0.001", "--trials", "1", home=home
    )
    assert changed.returncode == 2
    assert "optim.lr" in changed.stderr
    assert "--name" in changed.stderr
    assert len(changed.stderr.strip().splitlines()) == 1
    assert len(_trials(home)) == count
    assert _client(home).get_run(parent).info.status == "FINISHED"


def test_diverged_trials_are_results(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run_module(
        *("sweep", "run", "depth_study", "--scale", "smoke", "--set", "optim.lr=10", "--trials", "3"),
        home=home,
    )
    assert done.returncode == 0, done.stderr
    assert "3 trials diverged" in done.stdout
    status = _status(home)
    assert status["best"] is None
    client = _client(home)
    for trial in _trials(home):
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


def test_one_trial_run_twice_gives_equal_weights(tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        home = tmp_path / name
        done = run_module(
            *("sweep", "run", "depth_study", "--scale", "smoke", "--trials", "1", "--seed", "5"), home=home
        )
        assert done.returncode == 0, done.stderr
        saved = torch.load(home / "checkpoints/depth_study/0/model.pt", weights_only=True)
        weights.append(saved["weights"])
        shutil.rmtree(home / "cache")
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_another_scale_in_the_same_home_gets_a_name_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tiny = ("--set", "epochs=1", "--trials", "1")
    assert run_module("sweep", "run", "depth_study", "--scale", "smoke", *tiny, home=home).returncode == 0
    second = run_module("sweep", "run", "depth_study", "--scale", "laptop", *tiny, home=home)
    assert second.returncode == 0, second.stderr
    assert "recorded as depth_study-laptop" in second.stdout
    listed = json.loads(run_module("sweep", "list", "--json", home=home).stdout)
    assert {s["study"] for s in listed["recorded"]} == {"depth_study", "depth_study-laptop"}


@pytest.mark.parametrize("workers", ["2"])
def test_workers_share_the_trials_and_no_trial_runs_twice(tmp_path: Path, workers: str) -> None:
    """With two trials there are two arms, and so few confirming trials."""
    home = tmp_path / "home"
    done = run_module(
        "sweep", "run", "depth_study", *ONE_EPOCH, "--trials", "2", "--workers", workers, home=home
    )
    assert done.returncode == 0, done.stderr
    trials = _trials(home)
    assert [t.number for t in trials] == list(range(2 + 2 * 5))
    assert [t.user_attrs["phase"] for t in trials].count("explore") == 2
    assert len({t.user_attrs["mlflow_run_id"] for t in trials}) == len(trials)
    asked = [(t.user_attrs["phase"], t.user_attrs["arm"], t.user_attrs["seed"]) for t in trials]
    assert len(set(asked)) == len(asked)
