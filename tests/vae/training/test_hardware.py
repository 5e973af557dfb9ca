"""`auto` becomes what this machine has; a setting that needs something missing is refused."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.training import hardware
from vae.training.fit import fit
from vae.training.hardware import resolve, slow_precision

AUTO = ("device", "precision", "memory_format", "threads", "step")


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No CUDA device, whatever the machine has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return monkeypatch


def with_cuda(devices: pytest.MonkeyPatch, count: int, capability: tuple[int, int]) -> None:
    devices.setattr(torch.cuda, "is_available", lambda: True)
    devices.setattr(torch.cuda, "device_count", lambda: count)
    devices.setattr(torch.cuda, "get_device_capability", lambda _: capability)


@pytest.mark.usefixtures("devices")
def test_auto_becomes_explicit_and_then_stays() -> None:
    config = resolve(TrainConfig())
    assert (config.device, config.step) == ("cpu", "eager")
    assert config.precision in ("float32", "bfloat16")
    assert config.threads == torch.get_num_threads()
    assert resolve(config) == config
    assert TrainConfig.model_validate(config.model_dump()) == config


@pytest.mark.usefixtures("devices")
def test_explicit_settings_are_kept_and_nothing_else_changes() -> None:
    asked = TrainConfig(
        device="cpu",
        precision="bfloat16",
        memory_format="contiguous",
        step="graph",
        threads=3,
        seed=5,
        epochs=2,
    )
    assert resolve(asked) == asked
    resolved = resolve(TrainConfig(seed=5, epochs=2))
    assert resolved.model_dump(exclude=set(AUTO)) == TrainConfig(seed=5, epochs=2).model_dump(
        exclude=set(AUTO)
    )


@pytest.mark.parametrize(("fast", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_is_chosen_where_the_processor_is_fast_at_it(
    devices: pytest.MonkeyPatch, fast: bool, precision: str
) -> None:
    devices.setattr(hardware, "_has_fast_bfloat16", lambda _: fast)
    config = resolve(TrainConfig())
    assert config.precision == precision
    assert config.memory_format == "channels_last"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_a_cuda_device_is_chosen_where_there_is_one(
    devices: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    with_cuda(devices, 1, capability)
    config = resolve(TrainConfig())
    assert (config.device, config.precision, config.memory_format) == ("cuda", precision, "channels_last")
    assert config.step == "graph"


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_cuda_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=f"device {device} is not there: 0 CUDA devices found"):
        resolve(TrainConfig(device=device))


def test_a_cuda_device_beyond_the_last_is_refused(devices: pytest.MonkeyPatch) -> None:
    with_cuda(devices, 2, (8, 0))
    assert resolve(TrainConfig(device="cuda:1")).device == "cuda:1"
    with pytest.raises(ValueError, match="device cuda:2 is not there: 2 CUDA devices found"):
        resolve(TrainConfig(device="cuda:2"))


@pytest.mark.usefixtures("devices")
def test_compilation_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"compile=default needs a C\+\+ compiler"):
        resolve(TrainConfig(compile="default"))


def test_a_resolved_config_is_not_resolved_again(
    small: Callable[..., TrainConfig],
    make_tiles: Callable[..., torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = resolve(small(epochs=1))
    monkeypatch.setattr("vae.training.fit.resolve", lambda _: pytest.fail("resolved twice"))
    loader = BatchLoader(make_tiles(16), config.batch_size, config.seed)
    assert fit(config, loader, make_tiles(8), resolved=True).epochs == 1


@pytest.mark.parametrize(
    ("precision", "fast", "said"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("auto", False, False), ("float32", False, False)],
)
def test_bfloat16_is_warned_of_where_the_processor_is_slow_at_it(
    devices: pytest.MonkeyPatch, precision: Literal["auto", "float32", "bfloat16"], fast: bool, said: bool
) -> None:
    devices.setattr(hardware, "_has_fast_bfloat16", lambda _: fast)
    sentence = slow_precision(TrainConfig(precision=precision))
    assert (sentence is not None) == said
    if sentence:
        assert "precision=float32" in sentence
