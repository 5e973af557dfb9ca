"""From what `vae.fit` tells its hooks to MLflow, to Optuna and to the parent's progress display."""

import io
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from PIL import Image
from torchvision.utils import make_grid

from sweep.tracking import Run
from vae.hooks import Hooks, RunInfo, RunResult
from vae.pictures import Pictures

CHART_POINTS = 200
"""Points of a per-step series in MLflow; the Parquet artifact has every step."""
CHARTED = (
    "loss",
    "recon_loss",
    "kl",
    "kl_weight",
    "lr",
    "grad_norm",
    "grad_norm_volatility",
    "grad_norm_jump",
    "max_logvar",
    "update_ratio",
    "adam_rms",
)


class TrialInterrupted(Exception):
    """The worker was told to stop now."""


def picture_grid(pictures: Pictures) -> Image.Image:
    """Three rows: originals, reconstructions, samples."""
    rows = torch.cat([pictures.originals, pictures.reconstructions, pictures.samples])
    grid = make_grid(rows, nrow=len(pictures.originals), padding=2, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def parquet(records: list[dict[str, float]]) -> bytes:
    """One row a record, one column a quantity."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), buffer)
    return buffer.getvalue()


class RecordingHooks(Hooks):
    """Buffers metrics and writes one batch an epoch; pictures go to both UIs.

    `progress` is called with what the parent shows; it raises TrialInterrupted to end the run.
    """

    def __init__(
        self,
        run: Run,
        trial: optuna.Trial,
        artifacts: FileSystemArtifactStore,
        progress: Callable[[dict[str, Any]], None],
    ) -> None:
        self.run, self.trial, self.artifacts, self.progress = run, trial, artifacts, progress
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.info: RunInfo | None = None
        self.every = 1
        self.last_pictures: Pictures | None = None

    def on_start(self, info: RunInfo) -> None:
        self.info = info
        self.every = max(1, math.ceil(info.steps_per_epoch * info.config.epochs / CHART_POINTS))
        facts = {
            "model/parameters": info.parameter_count,
            "model/head_fan_in": info.head_fan_in,
            "data/unreachable_pixel_fraction": info.unreachable_pixel_fraction,
            "clip/norm": info.clip_norm,
            "clip/probe_grad_norm": info.probe_grad_norm,
        }
        known = {key: value for key, value in facts.items() if value is not None}
        self.run.params(known)
        for key, value in known.items():
            self.trial.set_user_attr(key, value)

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)
        step = int(record["step"])
        if step % self.every == 0:
            for name in CHARTED:
                self.run.metric(f"step/{name}", record[name], step)
        self.progress({})

    def on_epoch(self, record: dict[str, float]) -> None:
        self.epochs.append(record)
        epoch = int(record["epoch"]) + 1
        for key, value in record.items():
            self.run.metric(key, value, epoch)
        self.run.flush()
        objective = record["val/objective"]
        if math.isfinite(objective):
            self.trial.report(objective, epoch)
        self.progress({"epoch": epoch, "objective": objective})

    def on_pictures(self, step: int, pictures: Pictures) -> None:
        self.last_pictures = pictures
        self.run.image(picture_grid(pictures), key="sample/pictures", step=step)

    def finish(self, result: RunResult) -> None:
        """The final metrics, the step series and the last pictures; the run is still open."""
        for key, value in (result.summary | result.intervals).items():
            self.run.metric(key, value, result.epochs)
        self.run.metric("objective", result.objective)
        self.run.metric("diverged", float(result.outcome.objective_is_infinite))
        self.run.metric("steps", result.steps)
        self.run.metric("epochs", result.epochs)
        self.run.metric("time/seconds", result.seconds)
        if result.last_finite_loss is not None:
            self.run.metric("train/last_finite_loss", result.last_finite_loss)
        files = {"series/steps.parquet": parquet(self.steps)}
        if self.epochs:
            files["series/epochs.parquet"] = parquet(self.epochs)
        if result.kl_per_dim:
            dims = [{"latent_dim": i, "kl": kl} for i, kl in enumerate(result.kl_per_dim)]
            files["latent/kl_per_dim.parquet"] = parquet(dims)
        self.run.files(files)
        self.run.flush()
        if self.last_pictures is not None:
            self._upload_picture(picture_grid(self.last_pictures))

    def _upload_picture(self, image: Image.Image) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "originals_reconstructions_samples.png"
            image.save(path)
            upload_artifact(artifact_store=self.artifacts, file_path=str(path), study_or_trial=self.trial)
