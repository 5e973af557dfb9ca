"""Image quality reaches both stores: all of it in MLflow, values and floors beside the trial."""

import math
from pathlib import Path

import mlflow
import optuna
import pyarrow.parquet as pq
import pytest


def test_a_trials_quality_is_in_mlflow_with_its_intervals_and_in_optuna_with_its_floor(
    smoke_home: Path, tmp_path: Path
) -> None:
    study = optuna.load_study(study_name="depth_study", storage=f"sqlite:///{smoke_home / 'optuna.db'}")
    finite = [t for t in study.get_trials() if math.isfinite(t.values[0])]
    assert finite
    client = mlflow.MlflowClient(f"sqlite:///{smoke_home / 'mlflow.db'}")
    for trial in finite:
        attributes = trial.user_attrs
        metrics = client.get_run(attributes["mlflow_run_id"]).data.metrics
        for name in ("swd_32", "spectrum", "colour", "mmd_random", "kid_imagenet", "memorisation"):
            key = f"quality/{name}"
            assert metrics[key] == attributes[key]
            assert metrics[f"{key}_floor"] == attributes[f"{key}_floor"]
            assert metrics[f"{key}_low"] <= metrics[f"{key}_high"]
            assert f"{key}_low" not in attributes
        assert 0 < metrics["quality/psnr"] == attributes["quality/psnr"]
    run_id = finite[0].user_attrs["mlflow_run_id"]
    path = client.download_artifacts(run_id, "latent/kl_per_dim.parquet", str(tmp_path))
    kl = pq.read_table(path).column("kl").to_pylist()
    assert sum(kl) == pytest.approx(client.get_run(run_id).data.metrics["latent/test_kl"], rel=1e-4)
