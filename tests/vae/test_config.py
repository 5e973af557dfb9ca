"""Settings: a typo fails, JSON keeps everything, nothing changes afterwards."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from vae.config import ModelConfig, ObjectiveConfig, OptimConfig, ProbeConfig, TrainConfig

PARTS = [ModelConfig, ObjectiveConfig, OptimConfig, ProbeConfig, TrainConfig]


@pytest.mark.parametrize("part", PARTS)
def test_a_misspelt_field_is_refused_by_its_name(part: type[BaseModel]) -> None:
    field = next(iter(part.model_fields))
    with pytest.raises(ValidationError, match=f"{field}x"):
        part.model_validate({f"{field}x": part.model_fields[field].default})


@pytest.mark.parametrize("part", PARTS)
def test_a_config_cannot_be_changed(part: type[BaseModel]) -> None:
    config = part()
    for field, value in config:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(config, field, value)


def test_json_keeps_every_field_that_differs_from_its_default() -> None:
    config = TrainConfig(
        model=ModelConfig(
            image_size=96,
            encoder_depth=7,
            decoder_depth=2,
            max_downsamples=3,
            base_channels=5,
            max_channels=77,
            latent_dim=9,
            norm="group",
            extra_block="residual",
            output_range="paper",
            logvar_bound="soft",
        ),
        objective=ObjectiveConfig(
            likelihood="gaussian",
            kl_rule="capacity",
            free_bits=0.3,
            capacity=7.5,
            kl_weight=0.1,
            kl_schedule="cyclical",
            kl_warmup_fraction=0.2,
            kl_cycles=3,
        ),
        optim=OptimConfig(
            optimizer="adamw",
            lr=1 / 3,
            lr_border_fraction=0.2,
            beta1=0.8,
            beta2=0.99,
            eps=1e-7,
            weight_decay=0.01,
            head_scale="mup",
            parametrisation="mup",
            lr_schedule="cosine",
            lr_warmup_fraction=0.1,
            lr_decay_fraction=0.4,
            lr_step_fraction=0.2,
            lr_gamma=0.5,
            lr_patience=2,
            clip="norm",
            clip_norm=12.5,
            momentum=0.5,
            clip_value=2.0,
            clip_percentile=20.0,
            clip_zscore=3.0,
            agc_ratio=0.02,
            controller="ramp",
            guard="rollback",
            skip="threshold",
            skip_threshold=50.0,
        ),
        probe=ProbeConfig(label="blowup", horizon=5),
        quality_draws=7,
        curvature_every=2,
        epochs=3,
        batch_size=5,
        seed=11,
        early_stopping_patience=0,
        picture_every=2,
        checkpoint_seconds=0.5,
        threads=2,
        precision="bfloat16",
        memory_format="channels_last",
        compile="default",
        step="graph",
        device="cuda:1",
    )
    default = TrainConfig().model_dump()
    dumped = config.model_dump()
    same = [
        f"{part}.{name}"
        for part in ("model", "objective", "optim", "probe")
        for name in dumped[part]
        if dumped[part][name] == default[part][name]
    ]
    same += [name for name in dumped if dumped[name] == default[name]]
    assert same == ["optim.clip_norm_relative"], "the config above leaves a field at its default"
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("norms", [{}, {"clip_norm": 1.0, "clip_norm_relative": 1.0}])
def test_norm_clipping_needs_exactly_one_norm(norms: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"exactly one of optim\.clip_norm, optim\.clip_norm_relative"):
        OptimConfig.model_validate({"clip": "norm"} | norms)
    OptimConfig.model_validate({"clip": "none"} | norms)


@pytest.mark.parametrize("name", ["clip_norm", "clip_norm_relative"])
def test_norm_clipping_takes_either_norm(name: str) -> None:
    assert getattr(OptimConfig.model_validate({"clip": "norm", name: 2.0}), name) == 2.0


@pytest.mark.parametrize(
    ("part", "field", "typo", "meant"),
    [
        (OptimConfig, "clip", "nrom", "norm"),
        (OptimConfig, "clip", "noen", "none"),
        (OptimConfig, "lr_schedule", "platau", "plateau"),
        (ObjectiveConfig, "kl_schedule", "cyclic", "cyclical"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    part: type[BaseModel], field: str, typo: str, meant: str
) -> None:
    with pytest.raises(ValidationError, match=f"there is no '{typo}'; did you mean '{meant}'"):
        part.model_validate({field: typo})


def test_a_name_that_is_close_to_none_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(ValidationError) as refused:
        OptimConfig(clip="zzzzzz")
    assert "did you mean" not in str(refused.value)
    assert "; known: agc, none, norm" in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"threads": 0},
        {"optim": {"lr": 0}},
        {"optim": {"lr": float("nan")}},
        {"optim": {"lr": float("inf")}},
        {"optim": {"beta2": 1}},
        {"objective": {"kl_weight": -1}},
        {"objective": {"kl_warmup_fraction": 1}},
        {"model": {"encoder_depth": 0}},
        {"model": {"norm": "layer"}},
    ],
)
def test_a_value_outside_its_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig.model_validate(settings)


def test_checking_settings_does_not_import_torch() -> None:
    code = (
        "import sys, vae.config as c; "
        "c.TrainConfig(optim=c.OptimConfig(clip='norm', clip_norm=1, lr_schedule='cosine')); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_setting_that_came_later_is_not_named_where_it_has_its_default() -> None:
    """So that studies and checkpoints from before it are of the same config."""
    assert not {"head_scale", "parametrisation"} & set(TrainConfig().identity()["optim"])
    changed = TrainConfig(optim=OptimConfig(parametrisation="mup"))
    assert changed.identity()["optim"]["parametrisation"] == "mup"
    assert TrainConfig.model_validate(changed.identity()) == changed
    assert TrainConfig.model_validate(TrainConfig().identity()) == TrainConfig()
