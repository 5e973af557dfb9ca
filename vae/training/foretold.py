"""Borders of stability, foretold from one forward and backward pass at initialisation.

Training becomes non-finite where the log-variance overflows exp, in float32 at 88.7. What moves it most is
the weights of its own head: they have the most inputs of all, and under an optimizer whose step does not
depend on the scale of the gradients all of them move at once. So take the step of these weights alone, and
by how much it moves the log-variance of the first batch, at a rate of 1: this speed times the learning rate
is what a step adds. At the `nonfinite` border it is about 38, which two or three steps carry past 88.7; the
loss rises above a hundred times the first (`blowup`) where it is about 8, and a whole run ends worse than the
mean image (`useless`) where it is about 14.

38 is the median over 18 borders of Adam at 32 px (depth 2, 4 and 8; 2 to 4 halvings; fan-ins 512 to 8,192;
two seeds), 8 and 14 the geometric means over the nine columns that `border_study` mapped. How far borders
that they were not fitted on lie from what is foretold is what `python -m tests.benchmarks.foretold` measures;
it also tries what `why_not` refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from vae import names
from vae.config import ModelConfig, TrainConfig
from vae.kinds import short
from vae.loss.kl_schedules import kl_weight
from vae.model.network import VAE
from vae.model.pixels import normalise
from vae.stability.curvature import undisturbed, update_direction
from vae.stability.labels import Label
from vae.training.hardware import resolve
from vae.training.sources import BatchSource
from vae.training.state import TrainState

STEPS: Mapping[Label, float] = {"nonfinite": 38.0, "blowup": 8.0, "useless": 14.0}
"""What a step adds to the log-variance at each border."""
BANDS: Mapping[Label, tuple[float, float]] = {
    "nonfinite": (-0.32, 0.21),
    "blowup": (-0.35, 0.55),
    "useless": (-0.32, 0.32),
}
"""Decades around what is foretold that hold 90 % of the borders at least."""
TRIAL_LR = 1e-6


@dataclass(frozen=True)
class Border:
    """lr: the foretold border, with the ends of a 90 % band."""

    lr: float
    low: float
    high: float


@dataclass(frozen=True)
class Foretold:
    """borders: by label. speed: by how much a step at a rate of 1 moves the log-variance that moves most."""

    borders: Mapping[Label, Border]
    speed: float


def why_not(config: TrainConfig) -> str | None:
    """Why the border cannot be foretold of this config, as a sentence; None if it can."""
    model, optimizer = config.model, config.optim.optimizer
    if not isinstance(model, ModelConfig):
        reason = f"the log-variance's head of {short(model.kind)} is not known"
    elif not names.OPTIMIZERS.literal(optimizer, "SCALE_FREE"):
        reason = f"under optim.optimizer={optimizer} steps grow with the gradients"
    elif model.norm == "none":
        reason = "with model.norm=none the head's inputs grow as the layers before it train"
    elif model.logvar_bound != "none":
        reason = f"with model.logvar_bound={model.logvar_bound} no log-variance overflows"
    elif config.objective.kl_weight == 0:
        reason = "with objective.kl_weight=0 nothing holds the log-variance back"
    else:
        return None
    return f"{reason}, so the border is not foretold: `python -m sweep run border_study` maps it"


def foretell(config: TrainConfig, train: BatchSource) -> Foretold:
    """One step's worth of work; the source's position is restored.

    Clipping is left out, as a step that does not depend on the scale of the gradients does not feel it.

    Raises:
        ValueError: it cannot be foretold.
    """
    if reason := why_not(config):
        raise ValueError(reason)
    position = train.state_dict()
    plain = config.optim.model_copy(update={"clip": "none", "controller": "none"})
    state = TrainState(resolve(config.model_copy(update={"optim": plain})), train, clip_norm=None)
    batch = next(iter(train.epoch())).to(state.device)
    train.load_state_dict(position)
    speed = _speed(state, batch)
    return Foretold({label: _border(step / speed, *BANDS[label]) for label, step in STEPS.items()}, speed)


def _border(lr: float, low: float, high: float) -> Border:
    return Border(lr, lr * 10**low, lr * 10**high)


def _speed(state: TrainState, batch: torch.Tensor) -> float:
    assert isinstance(state.model, VAE)
    config, encoder = state.config, state.model.encoder
    noise, loss = state.draw_noise(len(batch)), state.loss.in_float32()
    parameters = [*state.model.parameters(), *state.loss.parameters()]
    with undisturbed(state.model):
        terms, _ = loss(state.model, batch, noise, kl_weight(0, state.total_steps, config.objective))
        terms.loss.backward()  # type: ignore[no-untyped-call]
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        moved = update_direction(state.optimizer, parameters, TRIAL_LR)
        (head,) = (u for p, u in zip(parameters, moved, strict=True) if p is encoder.fc_logvar.weight)
        with torch.no_grad():
            x = normalise(batch, config.model.output_range, state.model.memory_format)
            return float((encoder.layers(x).flatten(1) @ head.T).abs().max())
