"""One optimizer step, and the state of a run that a checkpoint must hold."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from vae.config import ObjectiveConfig, OptimConfig, TrainConfig
from vae.loss.elbo import LossTerms, elbo
from vae.loss.likelihoods import LIKELIHOODS, Likelihood
from vae.model.network import LOGVAR_BOUND, VAE, Forward, build_model
from vae.model.pixels import normalise
from vae.optim import clipping, controllers, optimizers
from vae.optim.clipping import ClippingPolicy
from vae.optim.guard import Guard
from vae.optim.schedules import LearningRate, kl_progress
from vae.optim.skipping import SkipPolicy
from vae.stability.adam_rms import adam_rms
from vae.stability.curvature import undisturbed
from vae.stability.labels import BorderLabels
from vae.stability.monitor import StabilityMonitor

UPDATE_RATIO_EVERY = 8


class BatchSource(Protocol):
    """Seeded, reshuffled batches of uint8 tiles whose position can be saved and restored."""

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) uint8, all of them."""
        ...

    def __len__(self) -> int:
        """Batches an epoch."""
        ...

    def epoch(self) -> Iterator[Tensor]:
        """(B, 3, H, W) uint8 batches of one epoch, or of what is left of it after a restore."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def forward_loss(
    model: VAE,
    batch: Tensor,
    noise: Tensor,
    kl_weight: float,
    *,
    precision: str = "float32",
    likelihood: Likelihood | None = None,
    objective: ObjectiveConfig | None = None,
    progress: float = 1.0,
) -> tuple[LossTerms, Forward]:
    """(B, 3, H, W) uint8 -> loss terms and the forward pass; losses are float32 also under autocast."""
    x = normalise(batch, model.config.output_range, model.memory_format)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        output = model(x, noise)
    return elbo(x, output, kl_weight, likelihood=likelihood, config=objective, progress=progress), output


def train_step(
    model: VAE,
    optimizer: torch.optim.Optimizer,
    policy: ClippingPolicy,
    batch: Tensor,
    noise: Tensor,
    *,
    kl_weight: float,
    precision: str = "float32",
    skipping: SkipPolicy | None = None,
    likelihood: Likelihood | None = None,
    objective: ObjectiveConfig | None = None,
    progress: float = 1.0,
    measure_update: bool = False,
) -> dict[str, Tensor]:
    """One optimizer step on (B, 3, H, W) uint8 tiles; noise (B, latent_dim) is standard normal.

    Returns float32 scalars on the device: loss, recon_loss, kl (summed over an image, averaged over the
    batch), grad_norm (global L2, before clipping), clipped, skipped, fatal (0 or 1; fatal: the step is not
    finite and no policy passes over it), max_logvar and logvar_clamp_fraction (of the encoder's raw values
    in the batch, the latter their share outside a clamp), and update_ratio = |dtheta| / |theta| and
    adam_rms (nan unless `measure_update`). A skipped or fatal step leaves weights, optimizer and batch
    norm's statistics as they were.
    """
    parameters = [*model.parameters(), *(likelihood.parameters() if likelihood else ())]
    skipping = skipping or SkipPolicy(OptimConfig())
    # A forward pass that is not finite would poison batch norm's running statistics for good.
    buffers = [(b, b.clone()) for b in model.buffers()] if skipping.kind != "none" else []
    optimizer.zero_grad(set_to_none=True)
    terms, output = forward_loss(
        model,
        batch,
        noise,
        kl_weight,
        precision=precision,
        likelihood=likelihood,
        objective=objective,
        progress=progress,
    )
    torch.autograd.backward(terms.loss)
    grad_norm = get_total_norm(clipping.gradients(parameters))
    # One transfer for both: each float() would wait for the device.
    loss, norm = torch.stack([terms.loss.detach(), grad_norm]).tolist()
    decision = skipping.decide(loss, norm, parameters)
    unmeasured = torch.full((), torch.nan, device=batch.device)
    clipped, update_ratio, rms = torch.zeros_like(unmeasured), unmeasured, unmeasured
    if decision.skip:
        for buffer, before_step in buffers:
            buffer.copy_(before_step)
    else:
        clipped = policy.clip(parameters, skipping.norm_now(grad_norm, decision)).float()
        if measure_update:
            rms = adam_rms(optimizer, parameters)
        before = [p.detach().clone() for p in parameters] if measure_update else []
        optimizer.step()
        if measure_update:
            # before - after, in place: one copy of the weights, not two.
            norm = get_total_norm(before)
            torch._foreach_sub_(before, [p.detach() for p in parameters])
            update_ratio = get_total_norm(before) / norm
    raw = output.raw_logvar.detach()
    clamps = model.config.logvar_bound == "clamp"
    return {
        "loss": terms.loss.detach(),
        "recon_loss": terms.recon_loss.detach(),
        "kl": terms.kl.detach(),
        "grad_norm": grad_norm,
        "clipped": clipped,
        "skipped": torch.full_like(grad_norm, decision.skip and not decision.fatal),
        "fatal": torch.full_like(grad_norm, decision.fatal),
        "max_logvar": raw.max(),
        "logvar_clamp_fraction": (raw.abs() > LOGVAR_BOUND).float().mean() if clamps else unmeasured,
        "update_ratio": update_ratio,
        "adam_rms": rms,
    }


class TrainState:
    """Everything that a run changes as it goes.

    `state_dict()` holds model, likelihood, optimizer, learning rate and its controller, clipping and skipping
    policies, guard, monitor, border labels, the generator of the reparameterisation noise, the position in
    the data, the step and epoch, and the best epoch's weights.
    """

    def __init__(
        self, config: TrainConfig, train: BatchSource, clip_norm: float | None, border: float | None = None
    ) -> None:
        """border: a rate, for the controller that needs one."""
        self.device = torch.device(config.device)
        self.config = config
        self.source = train
        channels_last = config.memory_format == "channels_last"
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = build_model(config.model, config.seed).to(self.device).to(memory_format=memory_format)
        # Shares the model's weights. Only steps go through it: compiled, nothing can be differentiated twice.
        self.stepped: VAE = self.model
        if config.compile != "none":
            self.stepped = cast(VAE, torch.compile(self.model, mode=config.compile))
        self.likelihood = LIKELIHOODS[config.objective.likelihood]().to(self.device)
        self.parameters = [*self.model.parameters(), *self.likelihood.parameters()]
        self.optimizer = optimizers.build(config.optim, self.parameters)
        optimizers.set_mode(self.optimizer, training=True)
        self.policy = clipping.build(config.optim, clip_norm)
        self.skipping = SkipPolicy(config.optim)
        self.total_steps = config.epochs * len(train)
        self.learning_rate = LearningRate(config.optim, self.total_steps)
        self.controller = controllers.build(controllers.Setting(config.optim, self.total_steps, border))
        guards = config.optim.guard == "rollback"
        self.guard = Guard(self.model, self.likelihood, self.optimizer) if guards else None
        self.monitor = StabilityMonitor()
        self.labels = BorderLabels(self.total_steps, mean_image_loss(config, train.images))
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
        size = (count, self.config.model.latent_dim)
        return torch.randn(size, generator=self.noise, device=self.device)

    def advance(self, batch: Tensor, kl_weight: float) -> dict[str, float]:
        """Train on one batch and let the monitor see it; returns the step's record."""
        lr = self.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        batch = batch.to(self.device, non_blocking=True)
        noise = self.draw_noise(len(batch))
        if self.guard:
            self.guard.before_step(self.step)
        values = train_step(
            self.stepped,
            self.optimizer,
            self.policy,
            batch,
            noise,
            kl_weight=kl_weight,
            precision=self.config.precision,
            skipping=self.skipping,
            likelihood=self.likelihood,
            objective=self.config.objective,
            progress=kl_progress(self.step, self.total_steps, self.config.objective),
            measure_update=self.step % UPDATE_RATIO_EVERY == 0,
        )
        # One transfer for all of them: each .item() would wait for the device.
        record = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
        measured = self.monitor.update(
            loss=record["loss"],
            grad_norm=record["grad_norm"],
            kl_weight=kl_weight,
            max_logvar=record["max_logvar"],
            clipped=bool(record["clipped"]),
            skipped=bool(record["skipped"]),
        )
        self.labels.update(record["loss"], finite=self.monitor.nonfinite_step is None)
        record |= measured | {"step": self.step, "epoch": self.epoch, "kl_weight": kl_weight, "lr": lr}
        self.controller.observe(record)
        if self.guard:
            again = partial(self._loss, batch, noise, kl_weight)
            record["rolled_back"] = float(self.guard.after_step(record["loss"], again))
        self.step += 1
        return record

    def rate(self, step: int) -> float:
        """That a step is made with: the schedule's, scaled by the controller and the guard."""
        factor = self.controller.factor(step) * (self.guard.factor if self.guard else 1.0)
        return self.learning_rate.at(step) * factor

    def _loss(self, batch: Tensor, noise: Tensor, kl_weight: float) -> float:
        """As `train_step` sees it, with nothing changed."""
        with undisturbed(self.model), torch.no_grad():
            terms, _ = forward_loss(
                self.model,
                batch,
                noise,
                kl_weight,
                precision=self.config.precision,
                likelihood=self.likelihood,
                objective=self.config.objective,
                progress=kl_progress(self.step, self.total_steps, self.config.objective),
            )
        return float(terms.loss)

    def summary(self) -> dict[str, float]:
        """The monitor's, and what the guard did."""
        guard = self.guard
        did = {"rollbacks": guard.rollbacks, "guard_false_alarms": guard.false_alarms} if guard else {}
        return self.monitor.summary() | did

    def keep_best(self, objective: float) -> None:
        """Remember the weights of an epoch that is better than all before it."""
        if objective < self.best_objective:
            self.best_objective, self.best_epoch, self.epochs_waited = objective, self.epoch, 0
            self.best_weights = self.weights()
            self.best_likelihood = {k: v.clone() for k, v in self.likelihood.state_dict().items()}
        else:
            self.epochs_waited += 1

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's state dict on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.model.state_dict().items()}

    _COUNTERS = ("step", "epoch", "best_objective", "best_epoch", "epochs_waited")

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.learning_rate.state_dict(),
            "controller": self.controller.state_dict(),
            "guard": self.guard.state_dict() if self.guard else None,
            "policy": self.policy.state_dict(),
            "skipping": self.skipping.state_dict(),
            "likelihood": self.likelihood.state_dict(),
            "monitor": self.monitor.state_dict(),
            "labels": self.labels.state_dict(),
            "noise": self.noise.get_state(),
            "source": self.source.state_dict(),
            "best_weights": self.best_weights,
            "best_likelihood": self.best_likelihood,
            **{name: getattr(self, name) for name in self._COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.controller.load_state_dict(state["controller"])
        if self.guard:
            self.guard.load_state_dict(state["guard"])
        self.policy.load_state_dict(state["policy"])
        self.skipping.load_state_dict(state["skipping"])
        self.likelihood.load_state_dict(state["likelihood"])
        self.monitor.load_state_dict(state["monitor"])
        self.labels.load_state_dict(state["labels"])
        self.noise.set_state(state["noise"])
        self.source.load_state_dict(state["source"])
        self.best_weights = state["best_weights"]
        self.best_likelihood = state["best_likelihood"]
        for name in self._COUNTERS:
            setattr(self, name, state[name])


def mean_image_loss(config: TrainConfig, images: Tensor) -> float | None:
    """The loss of predicting the mean of (N, 3, H, W) uint8 images whatever comes in, without a KL term.

    Summed over an image, averaged over the images; None where the likelihood is not `mse_sum`.
    """
    if config.objective.likelihood != "mse_sum":
        return None
    x = normalise(images, config.model.output_range)
    return float((x - x.mean(0)).square().sum() / len(x))
