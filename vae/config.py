"""What a training run is made of: frozen, validated, JSON both ways.

Nothing here imports torch, so that a command line can check a user's settings at once.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vae.names import one_of
from vae.optim import clipping, controllers, schedules

PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Config(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ModelConfig(Config):
    """The network. `encoder_depth` and `decoder_depth` count convolution layers (see `vae.model.layout`)."""

    image_size: Annotated[int, Field(ge=8)] = 64
    encoder_depth: PositiveInt = 4
    decoder_depth: PositiveInt = 4
    max_downsamples: PositiveInt = 4
    base_channels: PositiveInt = 16
    max_channels: PositiveInt = 128
    latent_dim: PositiveInt = 64
    norm: Literal["batch", "group", "none"] = "batch"
    extra_block: Literal["conv", "residual"] = "conv"
    output_range: Literal["tanh_unit", "imagenet_linear", "paper"] = "tanh_unit"
    logvar_bound: Literal["none", "clamp", "soft"] = "none"
    """Of the encoder's log-variance: clamp to +-10, or 10 tanh(lv / 10). It moves the border of stability."""

    @model_validator(mode="after")
    def _grid_is_whole(self) -> "ModelConfig":
        from vae.model.layout import grid_sizes

        grid_sizes(self)
        return self


class ObjectiveConfig(Config):
    """loss = recon_loss + penalty(kl, kl_weight(step)), summed over an image, averaged over the batch."""

    likelihood: Literal["mse_sum", "gaussian", "gaussian_optimal", "discretized_logistic"] = "mse_sum"
    kl_rule: Literal["beta", "free_bits", "capacity"] = "beta"
    free_bits: NonNegative = 0.1
    """Nats a latent dimension, for the rule of that name."""
    capacity: NonNegative = 25.0
    """Nats an image at the end of the warm-up, for the rule of that name."""
    kl_weight: NonNegative = 1.0
    kl_schedule: Annotated[str, AfterValidator(one_of(schedules.KL))] = "linear"
    kl_warmup_fraction: Annotated[float, Field(ge=0, le=0.9)] = 0.3
    kl_cycles: PositiveInt = 4


class OptimConfig(Config):
    """The optimizer, its learning-rate schedule and the clipping policy.

    `clip_norm` is absolute; `clip_norm_relative` is in units of the median gradient norm of a short
    run (`vae.training.clip_unit`). The policy `norm` needs exactly one of the two; the others ignore both.
    """

    optimizer: Literal["adam", "adamw", "sgd", "prodigy", "schedulefree"] = "adam"
    lr: Positive = 1e-3
    lr_border_fraction: Positive | None = None
    """Instead of `lr`: the rate as a share of the border of blowing up, which a few short runs find before
    the first step (`vae.training.border_rate`)."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Positive = 1e-8
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd."""
    weight_decay: NonNegative = 0.0
    lr_schedule: Annotated[str, AfterValidator(one_of(schedules.LR))] = "wsd"
    lr_warmup_fraction: Fraction = 0.0
    lr_decay_fraction: Fraction = 0.3
    lr_step_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    lr_gamma: Annotated[float, Field(gt=0, lt=1)] = 0.3
    lr_patience: PositiveInt = 3
    clip: Annotated[str, AfterValidator(one_of(clipping.NAMES))] = "none"
    clip_norm: Positive | None = None
    clip_norm_relative: Positive | None = None
    clip_value: Positive = 1.0
    clip_percentile: Annotated[float, Field(gt=0, le=100)] = 10.0
    clip_zscore: Positive = 2.5
    agc_ratio: Positive = 0.01
    controller: Annotated[str, AfterValidator(one_of(controllers.NAMES))] = "none"
    """Scales the schedule's rate as the run goes (`vae.optim.controllers`)."""
    guard: Literal["none", "rollback"] = "none"
    """Goes back to a snapshot where a spike is the weights' fault (`vae.optim.guard`)."""
    skip: Literal["none", "nonfinite", "threshold"] = "none"
    skip_threshold: Positive | None = None

    @model_validator(mode="after")
    def _one_clip_norm(self) -> "OptimConfig":
        if self.clip == "norm" and (self.clip_norm is None) == (self.clip_norm_relative is None):
            raise ValueError("optim.clip=norm needs exactly one of optim.clip_norm, optim.clip_norm_relative")
        if (self.skip == "threshold") != (self.skip_threshold is not None):
            raise ValueError("optim.skip=threshold and optim.skip_threshold need each other")
        return self


class ProbeConfig(Config):
    """A run that ends as soon as it is known whether it crosses a border (`vae.stability.labels`).

    Its schedules are those of the whole run. It is not validated, so it has no objective.
    """

    label: Literal["none", "blowup", "nonfinite", "useless"] = "none"
    """none: not a probe but a normal run."""
    horizon: PositiveInt | Annotated[float, Field(gt=0, lt=1)] | None = None
    """How far a run is followed that does not cross: steps, a share of its length, or (None) all of it."""


class TrainConfig(Config):
    """One training run. The same config and data give the same weights, on the same kind of machine.

    `threads`, `precision`, `memory_format` and `device` are part of it because results are bit-equal
    only with the same. `auto` is resolved by `vae.training.hardware.resolve` before a run is recorded.
    """

    model: ModelConfig = ModelConfig()
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
    curvature_every: Annotated[int, Field(ge=0)] = 0
    """Epochs between two measurements of edge_ratio and preconditioned_sharpness; 0: none."""
    threads: PositiveInt | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """torch.compile's mode for training steps; reduce-overhead uses CUDA graphs. A prototype took 20 to 45 s
    a process and gained nothing on a CPU; not measured on a GPU."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    @model_validator(mode="after")
    def _grey_levels_are_there(self) -> "TrainConfig":
        logistic = self.objective.likelihood == "discretized_logistic"
        if logistic and self.model.output_range != "tanh_unit":
            raise ValueError("objective.likelihood=discretized_logistic needs model.output_range=tanh_unit")
        return self

    @model_validator(mode="after")
    def _probe_is_possible(self) -> "TrainConfig":
        if self.probe.label == "useless" and self.objective.likelihood != "mse_sum":
            raise ValueError("probe.label=useless needs objective.likelihood=mse_sum")
        if self.probe.label != "none" and self.optim.lr_schedule == "plateau":
            raise ValueError("optim.lr_schedule=plateau waits on validation, which a probe does not do")
        return self
