"""What a run tells whoever watches it. `fit` knows no logger: it calls these."""

from dataclasses import dataclass, field

from torch import Tensor

from vae.config import TrainConfig
from vae.stability.labels import Observation
from vae.stability.monitor import Outcome
from vae.training.border_rate import BorderRate
from vae.training.pictures import Pictures


@dataclass(frozen=True)
class RunInfo:
    """Known before the first step."""

    config: TrainConfig
    parameter_count: int
    head_fan_in: int
    clip_norm: float | None
    """Absolute, after a relative one was resolved; None where the policy has none."""
    probe_grad_norm: float | None
    """The unit of a relative clip norm (`vae.training.clip_unit`); None where none was needed."""
    border: BorderRate | None
    """The unit of a relative learning rate (`vae.training.border_rate`); None where none was needed."""
    unreachable_pixel_fraction: float
    steps_per_epoch: int


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    objective: best validation objective at the final KL weight over the epochs after the KL warm-up;
        inf for `nonfinite` and `diverged` runs. objective = recon_loss + kl_weight * kl of that epoch.
    summary: the monitor's figures over the whole run, the evaluation of the selected epoch, and its image
        quality on the test tiles where that was measured: values and their floors.
    weights: state dict of the selected epoch (of the last step where none was selected), on the CPU;
        empty for a probe.
    observation: what the run told about the borders of stability.
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
    intervals: dict[str, float] = field(default_factory=dict)
    kl_per_dim: tuple[float, ...] = ()


class Hooks:
    """Does nothing; override what is of interest. An exception raised here ends the run.

    A record maps names of `vae` quantities to numbers; one that was not measured at that moment is
    absent or nan.
    """

    def on_resume(self, step: int) -> None:
        """Before `on_start`, where a checkpoint was found: `step` is the next to be made."""

    def on_start(self, info: RunInfo) -> None:
        """Before the first step (again after a resume)."""

    def on_step(self, record: dict[str, float]) -> None:
        """After every optimizer step: `step`, `epoch`, `loss`, `grad_norm` and the rest of `train_step`."""

    def on_epoch(self, record: dict[str, float]) -> None:
        """After every epoch and its validation: keys `train/...`, `val/...`, `stability/...`, ..."""

    def on_pictures(self, step: int, pictures: Pictures) -> None:
        """Before the first step, every few epochs, and with the selected weights at the end."""

    def wants_checkpoint(self) -> bool:
        """Asked after every step and epoch: True writes a checkpoint at once, where it has a path."""
        return False

    def before_checkpoint(self, step: int) -> None:
        """What must be on disk before a checkpoint that goes on at `step` can be written now."""

    def after_checkpoint(self, step: int) -> None:
        """The checkpoint is on disk: raise here to end a run that can be resumed."""
