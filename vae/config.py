"""What a training run is made of: frozen, validated, convertible to JSON and back.

Nothing here imports torch, so that a command line can check a user's settings at once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vae import kinds, names
from vae.model_config import AnyNetwork, Config, ModelConfig, NetworkConfig, PositiveInt

__all__ = [
    "ModelConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "ProbeConfig",
    "TrainConfig",
]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ObjectiveConfig(Config):
    """loss = recon_loss + penalty(kl, kl_weight(step)), summed over an image, averaged over the batch."""

    likelihood: Annotated[str, AfterValidator(names.LIKELIHOODS.check)] = "mse_sum"
    kl_rule: Annotated[str, AfterValidator(names.KL_RULES.check)] = "beta"
    free_bits: NonNegative = 0.1
    """Nats per latent dimension, for the rule `free_bits`."""
    capacity: NonNegative = 25.0
    """Nats per image at the end of the warm-up, for the rule `capacity`."""
    kl_weight: NonNegative = 1.0
    kl_schedule: Annotated[str, AfterValidator(names.KL_SCHEDULES.check)] = "linear"
    kl_warmup_fraction: Annotated[float, Field(ge=0, le=0.9)] = 0.3
    kl_cycles: PositiveInt = 4


class OptimConfig(Config):
    """The optimizer, its learning-rate schedule and the clipping policy.

    `clip_norm` is absolute; `clip_norm_relative` is in units of the median gradient norm of a short
    run (`vae.training.clip_unit`). The policy `norm` needs exactly one of the two; the others ignore both.
    """

    optimizer: Annotated[str, AfterValidator(names.OPTIMIZERS.check)] = "adam"
    lr: Positive = 1e-3
    lr_border_fraction: Positive | None = None
    """Replaces `lr`: the learning rate as a share of the blow-up border, which a few short runs find before
    the first step (`vae.training.border_lr`)."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Positive = 1e-8
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """For sgd."""
    weight_decay: NonNegative = 0.0
    head_scale: Literal["none", "mup"] = "none"
    """mup: the latent heads train at `lr` times 2048 over their number of inputs (`vae.optim.scaling`)."""
    parametrisation: Literal["standard", "mup"] = "standard"
    """mup: each layer's rate falls with its inputs, and with the number of layers, so that one `lr` suits
    networks of any width and depth (`vae.optim.scaling`). It includes `head_scale`."""
    lr_schedule: Annotated[str, AfterValidator(names.LR_SCHEDULES.check)] = "wsd"
    lr_warmup_fraction: Fraction = 0.0
    lr_decay_fraction: Fraction = 0.3
    lr_step_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    lr_gamma: Annotated[float, Field(gt=0, lt=1)] = 0.3
    lr_patience: PositiveInt = 3
    clip: Annotated[str, AfterValidator(names.CLIPPING.check)] = "none"
    clip_norm: Positive | None = None
    clip_norm_relative: Positive | None = None
    clip_value: Positive = 1.0
    clip_percentile: Annotated[float, Field(gt=0, le=100)] = 10.0
    clip_zscore: Positive = 2.5
    agc_ratio: Positive = 0.01
    controller: Annotated[str, AfterValidator(names.CONTROLLERS.check)] = "none"
    """Scales the scheduled learning rate during the run (`vae.optim.controllers`)."""
    guard: Literal["none", "rollback"] = "none"
    """Returns to a snapshot when the weights are to blame for a spike (`vae.optim.guard`)."""
    skip: Literal["none", "nonfinite", "threshold"] = "none"
    skip_threshold: Positive | None = None

    @model_validator(mode="after")
    def _one_clip_norm(self) -> "OptimConfig":
        if self.clip == "norm" and (self.clip_norm is None) == (self.clip_norm_relative is None):
            raise ValueError("optim.clip=norm needs exactly one of optim.clip_norm, optim.clip_norm_relative")
        if (self.skip == "threshold") != (self.skip_threshold is not None):
            raise ValueError("optim.skip=threshold and optim.skip_threshold need each other")
        return self

    @model_validator(mode="after")
    def _controller_can_measure(self) -> "OptimConfig":
        if names.CONTROLLERS.literal(self.controller, "NEEDS_EDGE_RATIO"):
            self.check_edge_ratio(f"optim.controller={self.controller}", "optim.controller=none")
        return self

    @model_validator(mode="after")
    def _optimizer_takes_rates(self) -> "OptimConfig":
        asked, standard = "optim.head_scale", "none"
        if self.parametrisation != "standard":
            asked, standard = "optim.parametrisation", "standard"
        elif self.head_scale == "none":
            return self
        if names.OPTIMIZERS.literal(self.optimizer, "ONE_RATE"):
            raise ValueError(
                f"{asked}=mup gives layers rates of their own, and optim.optimizer={self.optimizer} has one "
                f"for all: set {asked}={standard} or another optimizer"
            )
        if self.parametrisation == "mup" and not names.OPTIMIZERS.literal(self.optimizer, "SCALE_FREE"):
            raise ValueError(
                "optim.parametrisation=mup wants steps that do not grow with the gradients, as those of "
                f"optim.optimizer={self.optimizer} do: set optim.parametrisation=standard or "
                "optim.optimizer=adam"
            )
        return self

    def check_edge_ratio(self, wanted_by: str, without: str) -> None:
        """Raises ValueError if `edge_ratio` is not known for the optimizer, naming who wants it and what to
        set instead."""
        if names.OPTIMIZERS.literal(self.optimizer, "UPDATE_DIRECTION") != "trial_step":
            raise ValueError(
                f"{wanted_by} measures edge_ratio, which is not known for optim.optimizer={self.optimizer} "
                f"(its module declares no UPDATE_DIRECTION): set {without} or another optimizer"
            )


class ProbeConfig(Config):
    """A run that ends as soon as it is known whether it crosses a border (`vae.stability.labels`).

    Its schedules are those of the whole run. It is not validated, so it has no objective.
    """

    label: Literal["none", "blowup", "nonfinite", "useless"] = "none"
    """none: a normal run, not a probe."""
    horizon: PositiveInt | Annotated[float, Field(gt=0, lt=1)] | None = None
    """How far a run that does not cross is followed: steps, a share of its length, or (None) all of it."""


LATER = {"optim": ("head_scale", "parametrisation")}
"""Settings that studies and checkpoints of earlier versions do not name: there they had their defaults."""


class TrainConfig(Config):
    """One training run. The same config and data give the same weights, on the same kind of machine.

    `threads`, `precision`, `memory_format` and `device` are part of it because results are bit-equal
    only with the same. `auto` is resolved by `vae.training.hardware.resolve` before a run is recorded.
    """

    model: AnyNetwork = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    probe: ProbeConfig = ProbeConfig()
    epochs: PositiveInt = 24
    batch_size: Annotated[int, Field(ge=2)] = 32
    seed: int = 0
    early_stopping_patience: Annotated[int, Field(ge=0)] = 10
    """Epochs without a better validation objective before a run ends; 0 never ends it early."""
    picture_every: PositiveInt = 6
    """Epochs between two image grids; one is always made before the first step and after the last."""
    checkpoint_seconds: NonNegative = 30.0
    quality_draws: Annotated[int, Field(ge=0)] = 40
    """Half-samples behind the intervals of the image quality, which is measured once at the end, with the
    selected weights on the test tiles (`vae.quality.model`); 0: not measured."""
    quality_features: str | None = None
    """Path of a TorchScript module whose features the image quality is measured on too, as `kid_custom`,
    `density_custom` and `coverage_custom` (`vae.quality.custom`)."""
    quality_features_sha256: str | None = None
    """Hash of that file, filled in when the path is set: runs with other features do not compare."""
    curvature_every: Annotated[int, Field(ge=0)] = 0
    """Epochs between two measurements of curvature (edge_ratio and others) and of gradient noise; 0: none."""
    threads: PositiveInt | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """torch.compile's mode for training steps; reduce-overhead uses CUDA graphs. A prototype spent 20 to 45 s
    per process on it and gained nothing on a CPU; not measured on a GPU."""
    step: Literal["auto", "eager", "graph"] = "auto"
    """graph: steps in blocks that no host interrupts, each one CUDA graph (`vae.training.steps` says what
    cannot be); eager: one by one; auto: graph on a GPU, eager on a CPU. It changes no bits."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _hash_of_the_features(cls, values: Any) -> Any:
        path = values.get("quality_features") if isinstance(values, dict) else None
        if not isinstance(path, str) or values.get("quality_features_sha256"):
            return values
        path = str(Path(path).expanduser().absolute())
        return {
            **values,
            "quality_features": path,
            "quality_features_sha256": kinds.file_sha256(path, "quality_features"),
        }

    @model_serializer(mode="wrap")
    def _without_features_that_are_not_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later fields: checkpoints and studies from before them are of the same config."""
        tree: dict[str, Any] = handler(self)
        for name in ("quality_features", "quality_features_sha256"):
            if tree.get(name, 0) is None:
                del tree[name]
        return tree

    def identity(self) -> dict[str, Any]:
        """The config as JSON, for comparing: without `LATER` settings that have their defaults, and without
        `step`, which changes no bits."""
        tree = self.model_dump(mode="json", exclude={"step"})
        for part, fields in LATER.items():
            defaults = getattr(self, part).__class__.model_fields
            for name in fields:
                if tree[part][name] == defaults[name].default:
                    del tree[part][name]
        return tree

    @model_validator(mode="after")
    def _likelihood_fits_the_range(self) -> "TrainConfig":
        likelihood = self.objective.likelihood
        needed = names.LIKELIHOODS.literal(likelihood, "NEEDS_OUTPUT_RANGE")
        if needed and self.model.output_range != needed:
            raise ValueError(f"objective.likelihood={likelihood} needs model.output_range={needed}")
        return self

    @model_validator(mode="after")
    def _heads_are_known(self) -> "TrainConfig":
        scaled = {"head_scale": "none", "parametrisation": "standard"}
        for name, plain in scaled.items():
            if getattr(self.optim, name) != plain and not isinstance(self.model, ModelConfig):
                raise ValueError(
                    f"optim.{name}={getattr(self.optim, name)} needs latent heads that are known, and those "
                    f"of model.kind={kinds.short(self.model.kind)} are not: set optim.{name}={plain}"
                )
        return self

    @model_validator(mode="after")
    def _probe_is_possible(self) -> "TrainConfig":
        if self.probe.label == "useless" and self.objective.likelihood != "mse_sum":
            raise ValueError("probe.label=useless needs objective.likelihood=mse_sum")
        schedule = self.optim.lr_schedule
        if self.probe.label != "none" and names.LR_SCHEDULES.literal(schedule, "NEEDS_VALIDATION"):
            raise ValueError(f"optim.lr_schedule={schedule} waits on validation, which a probe does not do")
        return self

    @model_validator(mode="after")
    def _edge_can_be_measured(self) -> "TrainConfig":
        if self.curvature_every:
            self.optim.check_edge_ratio(f"curvature_every={self.curvature_every}", "curvature_every=0")
        return self
