"""The state of a run, which a checkpoint must hold, and how it takes a step."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from vae.config import TrainConfig
from vae.loss.kl_schedules import kl_progress
from vae.loss.loss import Loss, mean_image_loss
from vae.model.network import build_model
from vae.model.protocol import Autoencoder
from vae.optim import clipping, controllers, optimizers
from vae.optim.guard import Guard
from vae.optim.lr_schedules import LearningRate
from vae.optim.scaling import parameter_groups
from vae.optim.skipping import SkipPolicy
from vae.stability.curvature import undisturbed
from vae.stability.edge import Edge
from vae.stability.labels import BorderLabels
from vae.stability.monitor import StabilityMonitor
from vae.training.sources import BatchSource
from vae.training.step import train_step

UPDATE_RATIO_EVERY = 8


class TrainState:
    """Everything that changes during a run.

    `state_dict()` holds model, likelihood, optimizer, learning rate and its controller, clipping and skipping
    policies, guard, monitor, border labels, the generator of the reparameterisation noise, the position in
    the data, the step and epoch, and the best epoch's weights.
    """

    def __init__(
        self, config: TrainConfig, train: BatchSource, clip_norm: float | None, border_lr: float | None = None
    ) -> None:
        """clip_norm: absolute; None if the policy has none. border_lr: for a controller that needs it."""
        self.device = torch.device(config.device)
        self.config = config
        self.source = train
        channels_last = config.memory_format == "channels_last"
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = build_model(config.model, config.seed).to(self.device).to(memory_format=memory_format)
        # Shares the model's weights, for steps only: a compiled model cannot be differentiated twice.
        self.stepped: Autoencoder = self.model
        if config.compile != "none":
            self.stepped = cast(Autoencoder, torch.compile(self.model, mode=config.compile))
        self.loss = Loss(config.objective, config.precision).to(self.device)
        parameters = parameter_groups(config.optim, self.model, self.loss.parameters())
        self.optimizer = optimizers.build(config.optim, parameters)
        optimizers.set_mode(self.optimizer, training=True)
        self.policy = clipping.build(config.optim, clip_norm)
        self.skipping = SkipPolicy(config.optim, self.device)
        self.total_steps = config.epochs * len(train)
        self.learning_rate = LearningRate(config.optim, self.total_steps)
        self.controller = controllers.build(controllers.Setting(config.optim, self.total_steps, border_lr))
        guards = config.optim.guard == "rollback"
        self.guard = Guard(self.model, self.loss.likelihood, self.optimizer) if guards else None
        self.monitor = StabilityMonitor()
        image_loss = mean_image_loss(config.objective, train.images, config.model.output_range)
        self.labels = BorderLabels(self.total_steps, image_loss)
        self.noise = torch.Generator(self.device).manual_seed(config.seed)
        self.step = 0
        self.epoch = 0
        self.best_objective = float("inf")
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.best_likelihood: dict[str, Tensor] = {}
        self.epochs_waited = 0

    def draw_noise(self, count: int) -> Tensor:
        """(count, latent_dim) standard normal from the run's own generator."""
        size = (count, self.model.latent_dim)
        return torch.randn(size, generator=self.noise, device=self.device)

    def advance(self, batch: Tensor, kl_weight: float) -> dict[str, float]:
        """Train on one batch and pass the results to monitor, labels, controller and guard; returns the
        step's record."""
        lr = self.lr_at(self.step)
        optimizers.set_lr(self.optimizer, lr)
        batch = batch.to(self.device, non_blocking=True)
        noise = self.draw_noise(len(batch))
        self.model.at_step(self.config.seed, self.step)
        progress = kl_progress(self.step, self.total_steps, self.config.objective)
        if self.guard:
            self.guard.before_step(self.step)
        values = train_step(
            self.stepped,
            self.loss,
            self.optimizer,
            self.policy,
            self.skipping,
            batch,
            noise,
            kl_weight=kl_weight,
            progress=progress,
            measure_update=self.step % UPDATE_RATIO_EVERY == 0,
        )
        # One transfer for all of them: each .item() would wait for the device.
        taken = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
        (record,) = self.observe([taken], [kl_weight], [lr])
        self.controller.observe(record)
        if self.guard:
            again = partial(self._loss_again, batch, noise, kl_weight, progress)
            record["rolled_back"] = float(self.guard.after_step(record["loss"], again))
        return record

    def observe(
        self,
        taken: Sequence[dict[str, float]],
        kl_weights: Sequence[float],
        rates: Sequence[float],
        ended: Callable[[], bool] = lambda: False,
    ) -> list[dict[str, float]]:
        """Pass what consecutive steps left (`train_step`) to monitor and labels, and count the steps.

        Returns their records, up to the one with which the run ends: the first that is not finite, or after
        which `ended` is true, by the labels. The steps after it are as if they had not been.
        """
        seen: list[dict[str, float]] = []
        for values, weight in zip(taken, kl_weights, strict=True):
            finite = math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
            over = not (finite or values["skipped"])
            self.labels.update(values["loss"], finite=self.monitor.nonfinite_step is None and not over)
            seen.append(values | {"kl_weight": weight})
            if over or ended():
                break
        records = []
        for values, measured, rate in zip(seen, self.monitor.update_block(seen), rates, strict=False):
            weight = values.pop("kl_weight")
            facts = {"step": self.step, "epoch": self.epoch, "kl_weight": weight, "lr": rate}
            records.append(values | measured | facts)
            self.step += 1
        return records

    def lr_at(self, step: int) -> float:
        """The learning rate of a step: the schedule's, scaled by the controller and the guard."""
        factor = self.controller.factor(step) * (self.guard.factor if self.guard else 1.0)
        return self.learning_rate.at(step) * factor

    def edge_on(self, batch: Tensor, noise: Tensor, others: Sequence[tuple[Tensor, Tensor]] = ()) -> Edge:
        """A measurement of this run's distance from its edge of stability, on a fixed batch and noise.

        others: further ones (`vae.stability.edge`).
        """
        optim = self.config.optim
        return Edge(optim, self.model, self.loss, self.optimizer, self.policy, batch, noise, others)

    def _loss_again(self, batch: Tensor, noise: Tensor, kl_weight: float, progress: float) -> float:
        """The loss that `train_step` would compute, without changing anything."""
        with undisturbed(self.model), torch.no_grad():
            terms, _ = self.loss(self.model, batch, noise, kl_weight, progress)
        return float(terms.loss)

    def summary(self) -> dict[str, float]:
        """The monitor's figures, and how often the guard acted."""
        guard = self.guard
        counts = {"rollbacks": guard.rollbacks, "guard_false_alarms": guard.false_alarms} if guard else {}
        return self.monitor.summary() | counts

    def keep_best(self, objective: float) -> None:
        """Keep the weights of this epoch if it is better than all before it."""
        if objective < self.best_objective:
            self.best_objective, self.best_epoch, self.epochs_waited = objective, self.epoch, 0
            self.best_weights = self.weights()
            likelihood = self.loss.likelihood.state_dict()
            self.best_likelihood = {name: value.clone() for name, value in likelihood.items()}
        else:
            self.epochs_waited += 1

    def load_best(self) -> dict[str, Tensor]:
        """Put the best epoch's weights into the model and the likelihood, those of the last step if there is
        none; returns the model's."""
        weights = self.best_weights or self.weights()
        self.model.load_state_dict(weights)
        if self.best_likelihood:
            self.loss.likelihood.load_state_dict(self.best_likelihood)
        return weights

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's state dict on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.model.state_dict().items()}

    _COUNTERS = ("step", "epoch", "best_objective", "best_epoch", "epochs_waited")

    def _parts(self) -> dict[str, Any]:
        """The parts that have a state of their own, by their names in the checkpoint."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "controller": self.controller,
            "guard": self.guard,
            "policy": self.policy,
            "skipping": self.skipping,
            "likelihood": self.loss.likelihood,
            "monitor": self.monitor,
            "labels": self.labels,
            "source": self.source,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **{name: part.state_dict() if part is not None else None for name, part in self._parts().items()},
            "noise": self.noise.get_state(),
            "best_weights": self.best_weights,
            "best_likelihood": self.best_likelihood,
            **{name: getattr(self, name) for name in self._COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            if part is not None:
                part.load_state_dict(state[name])
        self.noise.set_state(state["noise"])
        self.best_weights = state["best_weights"]
        self.best_likelihood = state["best_likelihood"]
        for name in self._COUNTERS:
            setattr(self, name, state[name])
