"""What a run reports, and when. `fit` knows no logger: it calls these hooks."""

from dataclasses import dataclass, field

from torch import Tensor

from vae.config import TrainConfig
from vae.model.pictures import Pictures
from vae.stability.labels import Observation
from vae.stability.monitor import Outcome
from vae.training.border_lr import BorderLR


@dataclass(frozen=True)
class RunInfo:
    """What is known about a run before its first step."""

    config: TrainConfig
    parameter_count: int
    head_fan_in: int | None
    """Of the latent head; None for a network that is not ours."""
    clip_norm: float | None
    """Absolute, after a relative one was resolved; None if the policy has none."""
    probe_grad_norm: float | None
    """The unit of a relative clip norm (`vae.training.clip_unit`); None if not needed."""
    border: BorderLR | None
    """The unit of a relative learning rate (`vae.training.border_lr`); None if not needed."""
    unreachable_pixel_fraction: float
    steps_per_epoch: int
    steps: str
    """How they are made: `one by one` or `in blocks` (`vae.training.steps`)."""
    needs_host: str | None
    """The setting for which they cannot be made in blocks; None if they can."""
    sharpness_at_init: float | None = None
    """Largest eigenvalue of the first loss's Hessian; None if curvature is not measured, or resumed."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    objective: best validation objective at the final KL weight over the epochs after the KL warm-up;
        inf for `nonfinite` and `diverged` runs. objective = recon_loss + kl_weight * kl of that epoch.
    best_epoch: the selected epoch, counted from 0 as in the records; None if none was selected.
    summary: the monitor's figures over the whole run, the evaluation of the selected epoch, and, if it was
        measured, its image quality on the test tiles: values and their floors.
    weights: state dict of the selected epoch (of the last step if none was selected), on the CPU; empty for
        a probe.
    likelihood: state dict of the likelihood of that epoch, on the CPU; empty where it learns nothing.
    observation: the facts that decide the labels of the borders of stability.
    intervals: of the quality figures; kl_per_dim: (latent_dim,) on the test tiles, in nats
        (`vae.quality.model`).
    """

    outcome: Outcome
    reason: str
    objective: float
    best_epoch: int | None
    outcome_step: int | None
    last_finite_loss: float | None
    steps: int
    epochs: int
    seconds: float
    observation: Observation
    summary: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    likelihood: dict[str, Tensor] = field(default_factory=dict)
    intervals: dict[str, float] = field(default_factory=dict)
    kl_per_dim: tuple[float, ...] = ()


class Hooks:
    """Does nothing: override the methods of interest. An exception raised in one ends the run.

    A record maps names of quantities to numbers; a quantity that was not measured at that moment is absent or
    nan. Steps and epochs are counted from 0.
    """

    def on_resume(self, step: int) -> None:
        """Called before `on_start` if a checkpoint was found: `step` is the next to be made."""

    def on_start(self, info: RunInfo) -> None:
        """Called before the first step (again after a resume)."""

    def on_step(self, record: dict[str, float]) -> None:
        """Called for every optimizer step, in order: `step`, `epoch`, `lr`, and the values of `train_step`.

        Where steps are made in blocks, as on a GPU, up to two blocks of later ones are launched by then.
        """

    def on_epoch(self, record: dict[str, float]) -> None:
        """Called after every epoch's validation: keys `train/...`, `val/...`, `stability/...`, ..."""

    def on_pictures(self, step: int, pictures: Pictures) -> None:
        """Called before the first step, every few epochs, and with the selected weights at the end."""

    def wants_checkpoint(self) -> bool:
        """Asked after every step, or block of steps, and every epoch: True writes a checkpoint, if there is a
        path for it, as soon as all steps that were launched have been passed to `on_step`."""
        return False

    def before_checkpoint(self, step: int) -> None:
        """Called before a checkpoint that resumes at `step`: write what must be on disk before it."""

    def after_checkpoint(self, step: int) -> None:
        """Called when the checkpoint is on disk: raise here to end a run that can be resumed."""
