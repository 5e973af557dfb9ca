"""One optimizer step, and the state of a run that a checkpoint must hold."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from vae import clipping, optimizers
from vae.clipping import ClippingPolicy
from vae.config import TrainConfig
from vae.model import VAE, Forward, build_model
from vae.objective import LossTerms, elbo
from vae.pixels import normalise
from vae.schedules import LearningRate
from vae.stability import StabilityMonitor

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
    model: VAE, batch: Tensor, noise: Tensor, kl_weight: float, precision: str
) -> tuple[LossTerms, Forward]:
    """(B, 3, H, W) uint8 -> loss terms and the forward pass; losses are float32 also under autocast."""
    x = normalise(batch, model.config.output_range, model.memory_format)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        output = model(x, noise)
    return elbo(x, output, kl_weight), output


def train_step(
    model: VAE,
    optimizer: torch.optim.Optimizer,
    policy: ClippingPolicy,
    batch: Tensor,
    noise: Tensor,
    *,
    kl_weight: float,
    precision: str = "float32",
    measure_update: bool = False,
) -> dict[str, Tensor]:
    """One optimizer step on (B, 3, H, W) uint8 tiles; noise (B, latent_dim) is standard normal.

    Returns float32 scalars on the device: loss, recon_loss, kl (summed over an image, averaged over the
    batch), grad_norm (global L2, before clipping), clipped (0 or 1), max_logvar (of the batch), and
    update_ratio = |dtheta| / |theta| (nan unless `measure_update`). A step whose loss or gradient is not
    finite leaves the weights as they were.
    """
    parameters = list(model.parameters())
    optimizer.zero_grad(set_to_none=True)
    terms, output = forward_loss(model, batch, noise, kl_weight, precision)
    torch.autograd.backward(terms.loss)
    grad_norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    clipped = policy.clip(parameters, grad_norm)
    update_ratio = torch.full((), torch.nan, device=batch.device)
    if bool(torch.isfinite(terms.loss) & torch.isfinite(grad_norm)):
        before = [p.detach().clone() for p in parameters] if measure_update else []
        optimizer.step()
        if measure_update:
            # before - after, in place: one copy of the weights, not two.
            norm = get_total_norm(before)
            torch._foreach_sub_(before, [p.detach() for p in parameters])
            update_ratio = get_total_norm(before) / norm
    return {
        "loss": terms.loss.detach(),
        "recon_loss": terms.recon_loss.detach(),
        "kl": terms.kl.detach(),
        "grad_norm": grad_norm,
        "clipped": clipped.float(),
        "max_logvar": output.logvar.detach().max(),
        "update_ratio": update_ratio,
    }


class TrainState:
    """Everything that a run changes as it goes.

    `state_dict()` holds model, optimizer, learning rate, clipping policy, monitor, the generator of the
    reparameterisation noise, the position in the data, the step and epoch, and the best epoch's weights.
    """

    def __init__(self, config: TrainConfig, train: BatchSource, clip_norm: float | None) -> None:
        self.device = torch.device(config.device)
        self.config = config
        self.source = train
        channels_last = config.memory_format == "channels_last"
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = build_model(config.model, config.seed).to(self.device).to(memory_format=memory_format)
        self.optimizer = optimizers.build(config.optim, self.model.parameters())
        self.policy = clipping.build(config.optim, clip_norm)
        self.total_steps = config.epochs * len(train)
        self.learning_rate = LearningRate(config.optim, self.total_steps)
        self.monitor = StabilityMonitor()
        self.noise = torch.Generator(self.device).manual_seed(config.seed)
        self.step = 0
        self.epoch = 0
        self.best_objective = float("inf")
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.epochs_waited = 0

    def draw_noise(self, count: int) -> Tensor:
        """(count, latent_dim) standard normal from the run's own generator."""
        size = (count, self.config.model.latent_dim)
        return torch.randn(size, generator=self.noise, device=self.device)

    def advance(self, batch: Tensor, kl_weight: float) -> dict[str, float]:
        """Train on one batch and let the monitor see it; returns the step's record."""
        lr = self.learning_rate.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        batch = batch.to(self.device, non_blocking=True)
        values = train_step(
            self.model,
            self.optimizer,
            self.policy,
            batch,
            self.draw_noise(len(batch)),
            kl_weight=kl_weight,
            precision=self.config.precision,
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
        )
        record |= measured | {"step": self.step, "epoch": self.epoch, "kl_weight": kl_weight, "lr": lr}
        self.step += 1
        return record

    def keep_best(self, objective: float) -> None:
        """Remember the weights of an epoch that is better than all before it."""
        if objective < self.best_objective:
            self.best_objective, self.best_epoch, self.epochs_waited = objective, self.epoch, 0
            self.best_weights = self.weights()
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
            "policy": self.policy.state_dict(),
            "monitor": self.monitor.state_dict(),
            "noise": self.noise.get_state(),
            "source": self.source.state_dict(),
            "best_weights": self.best_weights,
            **{name: getattr(self, name) for name in self._COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.policy.load_state_dict(state["policy"])
        self.monitor.load_state_dict(state["monitor"])
        self.noise.set_state(state["noise"])
        self.source.load_state_dict(state["source"])
        self.best_weights = state["best_weights"]
        for name in self._COUNTERS:
            setattr(self, name, state[name])
