"""Train a VAE: the loop over epochs, validation, early stopping, pictures and checkpoints."""

import math
import time
from dataclasses import astuple
from pathlib import Path

import torch
from torch import Tensor

from vae.config import TrainConfig
from vae.model.layout import head_fan_in
from vae.model.pixels import unreachable_pixel_fraction
from vae.optim import optimizers
from vae.optim.controllers import kind_of
from vae.optim.schedules import kl_warmup_end, kl_weight
from vae.quality.model import ModelQuality, measurable, model_quality
from vae.stability.edge import measure_edge, measure_edge_ratio
from vae.stability.labels import verdict
from vae.stability.monitor import Outcome
from vae.training import checkpoint
from vae.training.border_rate import BorderRate, border_rate
from vae.training.clip_unit import clip_unit
from vae.training.evaluate import Evaluation, evaluate, fixed_noise
from vae.training.hardware import resolve
from vae.training.hooks import Hooks, RunInfo, RunResult
from vae.training.pictures import take_pictures
from vae.training.step import BatchSource, TrainState

PICTURED_TILES = 8


def fit(
    config: TrainConfig,
    train: BatchSource,
    validation: Tensor,
    hooks: Hooks | None = None,
    checkpoint_path: Path | None = None,
    *,
    test: Tensor | None = None,
    resolved: bool = False,
) -> RunResult:
    """Train as `config` says; the same config, data and machine give the same weights.

    Args:
        train: seeded batches of (B, 3, H, W) uint8 tiles, H = W = config.model.image_size.
        validation: (N, 3, H, W) uint8; selection and early stopping use its objective at the final KL
            weight and do not count epochs that end before the KL warm-up does.
        checkpoint_path: resumed from where the file exists, written when `checkpoint_seconds` have passed
            since the last (0: after every epoch) or the hooks want it, removed by nobody.
        test: (N, 3, H, W) uint8, which selection never sees; the image quality of the selected weights is
            measured on them, unless there are none or too few, `config.quality_draws` is 0, or the run has
            no finite objective.
        resolved: `config` is one that `vae.training.hardware.resolve` gave, on this machine.

    A diverged run is a result, not an error. Raises what the hooks raise, and ValueError for tiles of
    another size or a checkpoint of another config.
    """
    config = config if resolved else resolve(config)
    size = config.model.image_size
    for tiles in (train.images, validation, test):
        if tiles is not None and tiles.shape[1:] != (3, size, size):
            raise ValueError(f"tiles are {tuple(tiles.shape[1:])}, the model wants (3, {size}, {size})")
    torch.set_num_threads(config.threads or torch.get_num_threads())
    run = _Run(config, train, validation, test, hooks or Hooks(), checkpoint_path)
    return run.go()


class _Run:
    """The loop, split into readable parts; what must survive a crash is in `TrainState`."""

    def __init__(
        self,
        config: TrainConfig,
        train: BatchSource,
        validation: Tensor,
        test: Tensor | None,
        hooks: Hooks,
        checkpoint_path: Path | None,
    ) -> None:
        self.config, self.hooks, self.checkpoint_path = config, hooks, checkpoint_path
        resumed = (
            checkpoint.load(checkpoint_path, config.model_dump(mode="json"))
            if checkpoint_path and checkpoint_path.exists()
            else None
        )
        self.probed: float | None = resumed["probed"] if resumed else None
        self.records: list[dict[str, float]] = resumed["records"] if resumed else []
        """Of the steps of the epoch under way."""
        clip_norm = config.optim.clip_norm
        if config.optim.clip == "norm" and config.optim.clip_norm_relative is not None:
            if self.probed is None:
                self.probed = clip_unit(config, train)
            clip_norm = config.optim.clip_norm_relative * self.probed
        self.clip_norm = clip_norm
        self.border = BorderRate(*resumed["border"]) if resumed and resumed["border"] else None
        optim = config.optim
        if optim.lr_border_fraction is not None or kind_of(optim).needs_border:
            self.border = self.border or border_rate(config, train, clip_norm)
        if self.border and optim.lr_border_fraction is not None:
            optim = optim.model_copy(update={"lr": optim.lr_border_fraction * self.border.rate})
        self.state = TrainState(
            config.model_copy(update={"optim": optim}),
            train,
            clip_norm,
            self.border.rate if self.border else None,
        )
        if resumed:
            self.state.load_state_dict(resumed["state"])
            self.hooks.on_resume(self.state.step)
        self.validation, self.test = validation.to(self.state.device), test
        self.noise = fixed_noise(len(validation), config.model.latent_dim, self.state.device)
        self.probing = config.probe.label != "none"
        self.warmup_end = kl_warmup_end(self.state.total_steps, config.objective)
        self.last_saved = time.monotonic()

    def go(self) -> RunResult:
        started = time.monotonic()
        self.hooks.on_start(
            RunInfo(
                config=self.config,
                parameter_count=self.state.model.parameter_count(),
                head_fan_in=head_fan_in(self.config.model),
                clip_norm=self.clip_norm,
                probe_grad_norm=self.probed,
                border=self.border,
                unreachable_pixel_fraction=unreachable_pixel_fraction(
                    self.validation.cpu(), self.config.model.output_range
                ),
                steps_per_epoch=len(self.state.source),
            )
        )
        if self.state.step == 0 and not self.probing:
            self._picture()
        # Asked before each epoch, also the first: a resumed run may have ended already.
        while not self._is_over():
            self._epoch()
        return self._finish(time.monotonic() - started)

    def _epoch(self) -> None:
        """Train and validate for one epoch, less where the run becomes not finite or a probe knows enough."""
        state, objective = self.state, self.config.objective
        records = self.records
        images = 0
        began = time.monotonic()
        for batch in state.source.epoch():
            weight = kl_weight(state.step, state.total_steps, objective)
            self._tell_controller(weight)
            records.append(state.advance(batch, weight))
            images += len(batch)
            self.hooks.on_step(records[-1])
            if state.monitor.nonfinite_step is not None or self._verdict() is not None:
                return
            self._save_checkpoint(in_epoch=True)
        if self.probing:
            state.epoch += 1
            self.records = []
            self._save_checkpoint()
            return
        trained = time.monotonic()
        edge = self._edge() if self._every(self.config.curvature_every) else {}
        optimizers.set_mode(state.optimizer, training=False)
        evaluation = self._evaluate()
        value = evaluation.objective(objective.kl_weight)
        if not evaluation.is_finite():
            state.monitor.nonfinite_step = state.step - 1
        elif state.step >= self.warmup_end:
            state.keep_best(value)
            state.learning_rate.observe(value)
        self.hooks.on_epoch(
            _epoch_record(records, evaluation, value)
            | {f"stability/{k}": v for k, v in (state.summary() | edge).items()}
            | {
                "epoch": state.epoch,
                "step": state.step - 1,
                "time/train_images_per_second": images / max(trained - began, 1e-9),
            }
        )
        state.epoch += 1
        self.records = []
        if state.epoch % self.config.picture_every == 0 and state.epoch < self.config.epochs:
            self._picture()
        optimizers.set_mode(state.optimizer, training=True)
        self._save_checkpoint()

    def _verdict(self) -> bool | None:
        """Of a probe: whether it crossed its label's border; None while it is not known, or not a probe."""
        probe = self.config.probe
        if probe.label == "none":
            return None
        return verdict(probe.label, self.state.labels.observation(), probe.horizon)

    def _every(self, epochs: int) -> bool:
        return epochs > 0 and (self.state.epoch + 1) % epochs == 0

    def _edge(self) -> dict[str, float]:
        """At the rate and KL weight of the last step."""
        state, step = self.state, self.state.step - 1
        weight = kl_weight(step, state.total_steps, self.config.objective)
        # A schedule that has come down to 0 has no edge.
        lr = state.rate(step)
        return measure_edge(state, *self._edge_batch(), weight, lr) if lr > 0 else {}

    def _tell_controller(self, weight: float) -> None:
        """The edge ratio before the next step, where the controller wants it, and the schedule is level."""
        state, step = self.state, self.state.step
        every = state.controller.edge_every
        if every and step and step % every == 0 and state.learning_rate.at(step) >= state.learning_rate.top:
            rate = state.rate(step)
            state.controller.observe_edge(measure_edge_ratio(state, *self._edge_batch(), weight, rate))

    def _edge_batch(self) -> tuple[Tensor, Tensor]:
        """The first tiles and the first noise, the same at every call."""
        state = self.state
        batch = state.source.images[: self.config.batch_size].to(state.device)
        return batch, fixed_noise(len(batch), self.config.model.latent_dim, state.device)

    def _stopped_early(self) -> bool:
        patience = self.config.early_stopping_patience
        return bool(patience) and self.state.epochs_waited >= patience

    def _is_over(self) -> bool:
        ended = self.state.monitor.nonfinite_step is not None or self._verdict() is not None
        return ended or self.state.epoch >= self.config.epochs or self._stopped_early()

    def _evaluate(self) -> Evaluation:
        state = self.state
        return evaluate(
            state.model,
            self.validation,
            self.noise,
            self.config.precision,
            state.likelihood,
            self.config.objective,
        )

    def _picture(self) -> None:
        # Spread over the set, whose neighbours come from one scene.
        count = len(self.validation)
        chosen = torch.linspace(0, count - 1, min(PICTURED_TILES, count)).long()
        tiles = self.validation[chosen.to(self.validation.device)]
        noise = self.noise[: len(tiles)]
        self.hooks.on_pictures(self.state.step, take_pictures(self.state.model, tiles, noise))

    def _save_checkpoint(self, in_epoch: bool = False) -> None:
        seconds = self.config.checkpoint_seconds
        due = time.monotonic() - self.last_saved >= seconds and not (in_epoch and seconds == 0)
        if not self.checkpoint_path or not (due or self.hooks.wants_checkpoint()):
            return
        step = self.state.step
        self.hooks.before_checkpoint(step)
        state = {
            "config": self.config.model_dump(mode="json"),
            "probed": self.probed,
            "border": astuple(self.border) if self.border else None,
            "records": self.records,
            "state": self.state.state_dict(),
        }
        checkpoint.save(self.checkpoint_path, state)
        self.last_saved = time.monotonic()
        self.hooks.after_checkpoint(step)

    def _finish(self, seconds: float) -> RunResult:
        return self._end_of_probe(seconds) if self.probing else self._end_of_run(seconds)

    def _end_of_probe(self, seconds: float) -> RunResult:
        state, label = self.state, self.config.probe.label
        step = state.monitor.nonfinite_step
        word = "crosses" if self._verdict() else "does not cross"
        return RunResult(
            outcome=Outcome.PROBED if step is None else Outcome.NONFINITE,
            reason=f"a probe: {word} the {label} border within {state.step} steps",
            objective=math.inf,
            best_epoch=None,
            outcome_step=step,
            last_finite_loss=state.monitor.last_finite_loss,
            steps=state.step,
            epochs=state.epoch,
            seconds=seconds,
            observation=state.labels.observation(),
            summary={f"stability/{k}": v for k, v in state.summary().items()},
        )

    def _end_of_run(self, seconds: float) -> RunResult:
        state, monitor = self.state, self.state.monitor
        weights = state.best_weights or state.weights()
        state.model.load_state_dict(weights)
        if state.best_likelihood:
            state.likelihood.load_state_dict(state.best_likelihood)
        evaluation = self._evaluate()
        outcome, step, reason = monitor.outcome(
            active_units=evaluation.active_units, stopped_early=self._stopped_early()
        )
        objective = math.inf if outcome.objective_is_infinite else state.best_objective
        self._picture()
        quality = self._quality() if math.isfinite(objective) else None
        return RunResult(
            outcome=outcome,
            reason=reason,
            objective=objective,
            best_epoch=None if outcome is Outcome.NONFINITE else state.best_epoch,
            outcome_step=step,
            last_finite_loss=monitor.last_finite_loss,
            steps=state.step,
            epochs=state.epoch,
            seconds=seconds,
            observation=state.labels.observation(),
            summary={f"stability/{k}": v for k, v in state.summary().items()}
            | {
                "val/best_recon_loss": evaluation.recon_loss,
                "val/best_kl": evaluation.kl,
                "val/best_psnr": evaluation.psnr,
                "latent/active_units": evaluation.active_units,
            }
            | (quality.figures if quality else {}),
            weights=weights,
            intervals=quality.intervals if quality else {},
            kl_per_dim=quality.kl_per_dim if quality else (),
        )

    def _quality(self) -> ModelQuality | None:
        draws, model = self.config.quality_draws, self.state.model
        if not draws or self.test is None or not measurable(self.test):
            return None
        return model_quality(model, self.test, self.state.source.images, draws=draws)


def _epoch_record(
    records: list[dict[str, float]], evaluation: Evaluation, objective: float
) -> dict[str, float]:
    """Means over the epoch's steps beside the validation at its end."""

    def mean(name: str) -> float:
        return sum(record[name] for record in records) / max(len(records), 1)

    return {
        "train/loss": mean("loss"),
        "train/recon_loss": mean("recon_loss"),
        "train/kl": mean("kl"),
        "val/objective": objective,
        "val/recon_loss": evaluation.recon_loss,
        "val/kl": evaluation.kl,
        "val/psnr": evaluation.psnr,
        "latent/active_units": float(evaluation.active_units),
    }
