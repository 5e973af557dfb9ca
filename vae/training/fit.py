"""Train a VAE: the loop over epochs, validation, early stopping, pictures and checkpoints."""

import math
import time
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import torch
from torch import Tensor

from vae.config import TrainConfig
from vae.loss.kl_schedules import kl_warmup_end, kl_weight
from vae.model.latent import fixed_noise
from vae.model.layout import head_fan_in
from vae.model.pictures import take_pictures
from vae.model.pixels import unreachable_pixel_fraction
from vae.optim import optimizers
from vae.optim.controllers import controller_class
from vae.quality.metrics import Metric
from vae.quality.model import ModelQuality, measurable, model_quality
from vae.stability.edge import Edge
from vae.stability.labels import verdict
from vae.training import checkpoint
from vae.training.border_lr import BorderLR, find_border_lr
from vae.training.clip_unit import clip_unit
from vae.training.cuda_graph import own_stream
from vae.training.evaluate import Evaluation, evaluate
from vae.training.hardware import prepare, resolve
from vae.training.hooks import Hooks, RunInfo, RunResult
from vae.training.results import epoch_record, probe_result, run_result
from vae.training.sources import BatchSource
from vae.training.state import TrainState
from vae.training.steps import needs_host, steps_of

PICTURED_TILES = 8
FURTHER_BATCHES = 3
"""That batch sharpness is measured on, beside the fixed one."""


def fit(
    config: TrainConfig,
    train: BatchSource,
    validation: Tensor,
    hooks: Hooks | None = None,
    checkpoint_path: Path | None = None,
    *,
    test: Tensor | None = None,
    test_groups: Tensor | None = None,
    resolved: bool = False,
) -> RunResult:
    """Train as `config` says; the same config, data and machine give the same weights.

    Args:
        train: seeded batches of (B, 3, H, W) uint8 tiles, H = W = config.model.image_size.
        validation: (N, 3, H, W) uint8; selection and early stopping use its objective at the final KL
            weight and do not count epochs that end before the KL warm-up does.
        checkpoint_path: the run resumes from this file if it exists; it is written when `checkpoint_seconds`
            have passed since the last time (0: after every epoch) or the hooks want it, and never removed.
        test: (N, 3, H, W) uint8, not used for selection; the objective and the image quality of the selected
            weights are measured on them where the run has a finite objective; quality not where they are too
            few or `config.quality_draws` is 0.
        test_groups: (N,) int64, which test tiles are neighbours (`vae.quality.measure`).
        resolved: `config` is one that `vae.training.hardware.resolve` gave, on this machine.

    A diverged run is a result, not an error.

    Raises:
        ValueError: tiles of another size, a checkpoint of another config, or an optimizer or device that is
            not available. Whatever a hook raises is passed on.
    """
    config = config if resolved else resolve(config)
    size = config.model.image_size
    for tiles in (train.images, validation, test):
        if tiles is not None and tiles.shape[1:] != (3, size, size):
            raise ValueError(f"tiles are {tuple(tiles.shape[1:])}, the model wants (3, {size}, {size})")
    prepare(config)
    with own_stream(torch.device(config.device)):
        run = _Run(config, train, validation, test, hooks or Hooks(), checkpoint_path, test_groups)
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
        test_groups: Tensor | None,
    ) -> None:
        self.config, self.hooks, self.checkpoint_path = config, hooks, checkpoint_path
        resumed = (
            checkpoint.load(checkpoint_path, config.identity())
            if checkpoint_path and checkpoint_path.exists()
            else None
        )
        self.clip_unit: float | None = resumed["probed"] if resumed else None
        self.border = BorderLR(*resumed["border"]) if resumed and resumed["border"] else None
        self.records: list[dict[str, float]] = resumed["records"] if resumed else []
        """Records of the current epoch's steps."""
        self.clip_norm = self._clip_norm(train)
        optim = config.optim
        if optim.lr_border_fraction is not None or controller_class(optim).needs_border:
            self.border = self.border or find_border_lr(config, train, self.clip_norm)
        if self.border and optim.lr_border_fraction is not None:
            optim = optim.model_copy(update={"lr": optim.lr_border_fraction * self.border.lr})
        self.state = TrainState(
            config.model_copy(update={"optim": optim}),
            train,
            self.clip_norm,
            self.border.lr if self.border else None,
        )
        if resumed:
            self.state.load_state_dict(resumed["state"])
            self.hooks.on_resume(self.state.step)
        self.validation, self.test = validation.to(self.state.device), test
        self.test_groups = test_groups
        self.custom = self._custom_metrics()  # here, because a file that is gone should not end a long run
        self.noise = fixed_noise(len(validation), self.state.model.latent_dim, self.state.device)
        self.edge = self._make_edge()
        self.probing = config.probe.label != "none"
        self.steps = steps_of(self.state)
        self.warmup_end = kl_warmup_end(self.state.total_steps, config.objective)
        self.last_saved = time.monotonic()

    def _clip_norm(self, train: BatchSource) -> float | None:
        """The absolute clip norm, for which a relative one is resolved."""
        optim = self.config.optim
        if optim.clip != "norm" or optim.clip_norm_relative is None:
            return optim.clip_norm
        if self.clip_unit is None:
            self.clip_unit = clip_unit(self.config, train)
        return optim.clip_norm_relative * self.clip_unit

    def _custom_metrics(self) -> Mapping[str, Metric]:
        path, sha256 = self.config.quality_features, self.config.quality_features_sha256
        if path is None or sha256 is None or not self.config.quality_draws:
            return {}
        from vae.quality.custom import custom_metrics

        return custom_metrics(path, sha256)

    def _make_edge(self) -> Edge:
        """The measurement of the edge, on the first tiles and the first noise, and further batches for it."""
        state, count = self.state, self.config.batch_size
        images, dim = state.source.images, state.model.latent_dim
        batch = images[:count].to(state.device)
        count = len(batch)
        # Spread over the set, because neighbours come from one scene.
        others = FURTHER_BATCHES if self.config.curvature_every else 0
        picks = [(torch.arange(count) * len(images) // count + k + 1) % len(images) for k in range(others)]
        noise = fixed_noise(count * (1 + others), dim, state.device)
        further = [
            (images[pick].to(state.device), noise[(k + 1) * count :][:count]) for k, pick in enumerate(picks)
        ]
        return state.edge_on(batch, fixed_noise(count, dim, state.device), further)

    def _sharpness_at_init(self) -> float | None:
        """Of the first step's loss; None where it is not asked for or not found, and in a resumed run."""
        if not self.config.curvature_every or self.state.step or self.probing:
            return None
        weight = kl_weight(0, self.state.total_steps, self.config.objective)
        found = self.edge.sharpness(weight)
        return found if math.isfinite(found) else None

    def go(self) -> RunResult:
        started = time.monotonic()
        self.hooks.on_start(
            RunInfo(
                config=self.config,
                parameter_count=self.state.model.parameter_count(),
                head_fan_in=head_fan_in(self.config.model),
                clip_norm=self.clip_norm,
                probe_grad_norm=self.clip_unit,
                border=self.border,
                unreachable_pixel_fraction=unreachable_pixel_fraction(
                    self.validation, self.config.model.output_range
                ),
                steps_per_epoch=len(self.state.source),
                steps=self.steps.name,
                needs_host=needs_host(self.state),
                sharpness_at_init=self._sharpness_at_init(),
            )
        )
        if self.state.step == 0 and not self.probing:
            self._take_pictures()
        # Checked before the first epoch too: a resumed run may have ended already.
        while not self._is_over():
            self._epoch()
        return self._finish(time.monotonic() - started)

    def _epoch(self) -> None:
        """Train and validate for one epoch; stop early if the run becomes nonfinite or a probe is decided."""
        state, objective = self.state, self.config.objective
        records = self.records
        resumed_at = len(records)
        began = time.monotonic()
        for block in self.steps.epoch(self._is_decided, self._update_controller):
            for record in block:
                records.append(record)
                self.hooks.on_step(record)
            if state.monitor.nonfinite_step is not None or self._is_decided():
                return
            self._save_checkpoint(in_epoch=True)
        if self.probing:
            state.epoch += 1
            self.records = []
            self._save_checkpoint()
            return
        trained = time.monotonic()
        images = (len(records) - resumed_at) * min(self.config.batch_size, len(state.source.images))
        edge = self._measure_edge() if self._is_due(self.config.curvature_every) else {}
        optimizers.set_mode(state.optimizer, training=False)
        evaluation = self._evaluate()
        value = evaluation.objective(objective.kl_weight)
        if not evaluation.is_finite():
            state.monitor.nonfinite_step = state.step - 1
        elif state.step >= self.warmup_end:
            state.keep_best(value)
            state.learning_rate.observe(value)
        self.hooks.on_epoch(
            epoch_record(records, evaluation, value)
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
            self._take_pictures()
        optimizers.set_mode(state.optimizer, training=True)
        self._save_checkpoint()

    def _verdict(self) -> bool | None:
        """Whether a probe crossed its label's border; None while that is not known, and for a normal run."""
        probe = self.config.probe
        if probe.label == "none":
            return None
        return verdict(probe.label, self.state.labels.observation(), probe.horizon)

    def _is_decided(self) -> bool:
        return self._verdict() is not None

    def _is_due(self, every: int) -> bool:
        """Whether something done every so many epochs is to be done at the end of this one; 0 is never."""
        return every > 0 and (self.state.epoch + 1) % every == 0

    def _measure_edge(self) -> dict[str, float]:
        """Distances from the edge at the learning rate and KL weight of the last step."""
        state, step = self.state, self.state.step - 1
        weight = kl_weight(step, state.total_steps, self.config.objective)
        # A learning rate that has decayed to 0 has no edge.
        lr = state.lr_at(step)
        return self.edge.measure(weight, lr) if lr > 0 else {}

    def _update_controller(self, weight: float) -> None:
        """Give the controller the edge ratio before the next step, if it wants it, unless the schedule is
        warming up or decaying."""
        state, step = self.state, self.state.step
        every = state.controller.edge_every
        if every and step and step % every == 0 and state.learning_rate.at(step) >= state.learning_rate.top:
            state.controller.observe_edge(self.edge.ratio(weight, state.lr_at(step)))

    def _stopped_early(self) -> bool:
        patience = self.config.early_stopping_patience
        return bool(patience) and self.state.epochs_waited >= patience

    def _is_over(self) -> bool:
        ended = self.state.monitor.nonfinite_step is not None or self._is_decided()
        return ended or self.state.epoch >= self.config.epochs or self._stopped_early()

    def _evaluate(self) -> Evaluation:
        return evaluate(self.state.model, self.validation, self.noise, self.state.loss)

    def _take_pictures(self) -> None:
        # Spread over the set, because neighbours come from one scene.
        count = len(self.validation)
        chosen = torch.linspace(0, count - 1, min(PICTURED_TILES, count)).long()
        tiles = self.validation[chosen.to(self.validation.device)]
        noise = self.noise[: len(tiles)]
        self.hooks.on_pictures(self.state.step, take_pictures(self.state.model, tiles, noise))

    def _save_checkpoint(self, in_epoch: bool = False) -> None:
        seconds = self.config.checkpoint_seconds
        due = time.monotonic() - self.last_saved >= seconds and not (in_epoch and seconds == 0)
        wanted = self.checkpoint_path is not None and (due or self.hooks.wants_checkpoint())
        # The records of steps that were launched already are given out first.
        self.steps.settle = wanted and not self.steps.settled
        if self.checkpoint_path is None or not wanted or self.steps.settle:
            return
        step = self.state.step
        self.hooks.before_checkpoint(step)
        state = {
            "config": self.config.identity(),
            "probed": self.clip_unit,
            "border": astuple(self.border) if self.border else None,
            "records": self.records,
            "state": self.state.state_dict(),
        }
        checkpoint.save(self.checkpoint_path, state)
        self.last_saved = time.monotonic()
        self.hooks.after_checkpoint(step)

    def _finish(self, seconds: float) -> RunResult:
        state = self.state
        if self.probing:
            return probe_result(state, self._verdict(), seconds)
        weights = state.load_best()
        evaluation = self._evaluate()
        ending = state.monitor.outcome(
            active_units=evaluation.active_units, stopped_early=self._stopped_early()
        )
        self._take_pictures()
        has_objective = not ending[0].objective_is_infinite and math.isfinite(state.best_objective)
        quality = self._quality() if has_objective else None
        tested = self._evaluate_test() if has_objective else None
        return run_result(state, ending, evaluation, tested, quality, weights, seconds)

    def _evaluate_test(self) -> Evaluation | None:
        """Of the selected weights, on tiles that selected nothing."""
        if self.test is None or not len(self.test):
            return None
        tiles = self.test.to(self.state.device)
        noise = fixed_noise(len(tiles), self.state.model.latent_dim, self.state.device)
        return evaluate(self.state.model, tiles, noise, self.state.loss)

    def _quality(self) -> ModelQuality | None:
        draws, model = self.config.quality_draws, self.state.model
        if not draws or self.test is None or not measurable(self.test):
            return None
        train = self.state.source.images
        return model_quality(
            model, self.test, train, draws=draws, groups=self.test_groups, custom=self.custom
        )
