"""The unit of a relative clip norm: the median gradient norm of a short unclipped run of its own."""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.training.clip_unit import UNIT_LR, UNIT_STEPS, clip_unit
from vae.training.hardware import resolve

Small = Callable[..., TrainConfig]
RELATIVE = {"clip": "norm", "clip_norm_relative": 0.5}


def test_a_relative_clip_norm_is_in_units_of_a_short_run(small: Small, run_fit: Callable[..., Any]) -> None:
    (info,) = run_fit(small(epochs=1, optim=RELATIVE)).watcher.infos
    # That run is the start of an unclipped run at its learning rate: 20 steps, four epochs of five.
    plain = small(epochs=4, optim={"lr": UNIT_LR, "lr_schedule": "constant"})
    norms = [step["grad_norm"] for step in run_fit(plain).watcher.steps]
    assert len(norms) == UNIT_STEPS
    assert info.probe_grad_norm == statistics.median(norms)
    assert info.clip_norm == 0.5 * statistics.median(norms)


@pytest.mark.parametrize(
    "optim", [{"lr": 1.0}, {"optimizer": "adamw"}, {"lr_schedule": "cosine"}, {"weight_decay": 0.5}], ids=str
)
def test_the_unit_depends_on_nothing_that_is_searched(
    small: Small, make_tiles: Callable[..., Tensor], optim: dict[str, Any]
) -> None:
    def unit(**settings: Any) -> float:
        config = resolve(small(optim=RELATIVE | settings))
        return clip_unit(config, BatchLoader(make_tiles(40), config.batch_size, 0))

    assert unit(**optim) == unit()


def test_measuring_the_unit_restores_the_position_in_the_data(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small(optim=RELATIVE))
    measured, fresh = (BatchLoader(make_tiles(40), 8, 0, flip=True) for _ in range(2))
    clip_unit(config, measured)
    for _ in range(2):
        for a, b in zip(measured.epoch(), fresh.epoch(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("policy", [{}, {"clip": "norm", "clip_norm": 3.0}], ids=["none", "absolute"])
def test_a_run_without_a_relative_norm_measures_no_unit(
    small: Small,
    run_fit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    policy: dict[str, Any],
) -> None:
    def never(*_: object) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr("vae.training.fit.clip_unit", never)
    (info,) = run_fit(small(epochs=1, optim=policy)).watcher.infos
    assert info.probe_grad_norm is None


def test_a_unit_without_a_finite_gradient_is_an_error(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small(objective={"kl_weight": 1e300}, optim=RELATIVE))
    with pytest.raises(ArithmeticError, match=r"no gradient of the 20-step run at 0\.001 was"):
        clip_unit(config, BatchLoader(make_tiles(40), 8, 0))
