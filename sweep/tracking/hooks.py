"""Hooks of `vae.training.fit` that record a trial: in its run, in Optuna and on the progress display."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from PIL import Image
from torchvision.utils import make_grid

from sweep.store.optuna_internals import set_attrs
from sweep.store.retry import impatient, is_away
from sweep.tracking.run import Run
from sweep.tracking.series import Series, parquet
from vae.model.pictures import Pictures
from vae.training.hooks import Hooks, RunInfo, RunResult

CHART_POINTS = 200
"""Points of a per-step series among the metrics; the Parquet artifact has every step."""
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
    "stable_adamw_rms",
)


class TrialInterrupted(Exception):
    """The worker was asked to stop now; the state of the run is on disk."""


def picture_grid(pictures: Pictures) -> Image.Image:
    """Three rows: originals, reconstructions, samples."""
    rows = torch.cat([pictures.originals, pictures.reconstructions, pictures.samples])
    grid = make_grid(rows, nrow=len(pictures.originals), padding=2, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


class RecordingHooks(Hooks):
    """Buffers metrics and writes them in one batch an epoch; pictures go to the run and to Optuna.

    `progress` is called with what the parent shows and returns whether to leave the trial; if so, training
    ends with TrialInterrupted as soon as its state is on disk. `pruned` is called after every epoch and
    returns whether to prune the trial.
    """

    def __init__(
        self,
        run: Run,
        trial: optuna.Trial,
        artifacts: FileSystemArtifactStore,
        series: Series,
        progress: Callable[[dict[str, Any]], bool],
        pruned: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run, self.trial, self.artifacts, self.series = run, trial, artifacts, series
        self.progress, self.pruned = progress, pruned
        self.leaving = False
        self.every = 1
        self.steps_per_epoch = 1
        self.last_pictures: Pictures | None = None
        self.unreported: dict[int, float] = {}
        """By epoch, objectives that the trial store has not accepted yet."""

    def on_resume(self, step: int) -> None:
        self.series.restore(step)

    def on_start(self, info: RunInfo) -> None:
        self.steps_per_epoch = info.steps_per_epoch
        self.every = max(1, math.ceil(info.steps_per_epoch * info.config.epochs / CHART_POINTS))
        facts = {
            "model/parameters": info.parameter_count,
            "model/head_fan_in": info.head_fan_in,
            "data/unreachable_pixel_fraction": info.unreachable_pixel_fraction,
            "clip/norm": info.clip_norm,
            "clip/probe_grad_norm": info.probe_grad_norm,
            "stability/sharpness_at_init": info.sharpness_at_init,
            "train/steps": info.steps,
            "train/steps_need_host": info.needs_host,
            "lr/border": info.border and info.border.lr,
            "lr/border_search_steps": info.border and info.border.steps,
        }
        known = {key: value for key, value in facts.items() if value is not None}
        self.run.params(known)
        set_attrs(self.trial, known)

    def on_step(self, record: dict[str, float]) -> None:
        self.series.steps.append(record)
        step = int(record["step"])
        if step % self.every == 0:
            for name in CHARTED:
                self.run.metric(f"step/{name}", record[name], step)
        self.leaving = self.progress({})

    def on_epoch(self, record: dict[str, float]) -> None:
        self.series.add_epoch(record)
        epoch = int(record["epoch"]) + 1
        for key, value in record.items():
            self.run.metric(key, value, epoch)
        self.run.flush()
        objective = record["val/objective"]
        if math.isfinite(objective):
            self.unreported[epoch] = objective
        self._report()
        self.leaving = self.progress({"epoch": epoch, "objective": objective})
        if not self.unreported and self.pruned():
            raise optuna.TrialPruned(f"pruned after epoch {epoch}: its objective is {objective:.2f}")

    def wants_checkpoint(self) -> bool:
        return self.leaving

    def before_checkpoint(self, step: int) -> None:
        self.series.save()
        self.run.flush()

    def after_checkpoint(self, step: int) -> None:
        self.series.publish()
        if self.leaving:
            raise TrialInterrupted

    def _report(self) -> None:
        """Training does not wait for a store that is away: the next epoch, or the end, reports again."""
        try:
            with impatient():
                for epoch, objective in list(self.unreported.items()):
                    self.trial.report(objective, epoch)
                    del self.unreported[epoch]
        except Exception as error:
            if not is_away(error):
                raise

    def on_pictures(self, step: int, pictures: Pictures) -> None:
        self.last_pictures = pictures
        self.run.image(picture_grid(pictures), metric="sample/pictures", step=step)

    def finish(self, result: RunResult) -> None:
        """Record the final metrics, the series and the last pictures; the run is still open."""
        self.final_metrics(result)
        if result.kl_per_dim:
            dims = [{"latent_dim": i, "kl": kl} for i, kl in enumerate(result.kl_per_dim)]
            self.run.files({"latent/kl_per_dim.parquet": parquet(dims)})
        self.finish_early()
        for epoch, objective in self.unreported.items():
            self.trial.report(objective, epoch)

    def final_metrics(self, result: RunResult) -> None:
        # A run that ended in the middle of an epoch has no record of it: its last figures belong there.
        last = math.ceil(result.steps / self.steps_per_epoch)
        for key, value in (result.summary | result.intervals).items():
            self.run.metric(key, value, last)
        self.run.metric("objective", result.objective)
        self.run.metric("diverged", float(result.outcome.objective_is_infinite))
        self.run.metric("steps", result.steps)
        self.run.metric("epochs", result.epochs)
        self.run.metric("time/seconds", result.seconds)
        if result.last_finite_loss is not None:
            self.run.metric("train/last_finite_loss", result.last_finite_loss)

    def finish_early(self) -> None:
        """Record what a run has that ends before its length: the series so far and the last pictures."""
        self.run.files(self.series.files())
        self.run.flush()
        if self.last_pictures is not None:
            self._upload_picture(picture_grid(self.last_pictures))

    def _upload_picture(self, image: Image.Image) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "originals_reconstructions_samples.png"
            image.save(path)
            upload_artifact(artifact_store=self.artifacts, file_path=str(path), study_or_trial=self.trial)
