"""The probe's unit: the median gradient norm of a short unclipped training of its own."""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.hardware import resolve
from vae.probe import PROBE_LR, PROBE_STEPS, probe_grad_norm

Small = Callable[..., TrainConfig]
RELATIVE = {"clip": "norm", "clip_norm_relative": 0.5}


def test_a_relative_clip_norm_is_in_units_of_the_probe(small: Small, run_fit: Callable[..., Any]) -> None:
    (info,) = run_fit(small(epochs=1, optim=RELATIVE)).watcher.infos
    # The probe is the start of an unclipped run at its rate: 20 steps, four epochs of five.
    plain = small(epochs=4, optim={"lr": PROBE_LR, "lr_schedule": "constant"})
    norms = [step["grad_norm"] for step in run_fit(plain).watcher.steps]
    assert len(norms) == PROBE_STEPS
    assert info.probe_grad_norm == statistics.median(norms)
    assert info.clip_norm == 0.5 * statistics.median(norms)


@pytest.mark.parametrize(
    "optim", [{"lr": 1.0}, {"optimizer": "adamw"}, {"lr_schedule": "cosine"}, {"weight_decay": 0.5}], ids=str
)
def test_the_probe_depends_on_nothing_that_is_searched(
    small: Small, make_tiles: Callable[..., Tensor], optim: dict[str, Any]
) -> None:
    def probe(**settings: Any) -> float:
        config = resolve(small(optim=RELATIVE | settings))
        return probe_grad_norm(config, BatchLoader(make_tiles(40), config.batch_size, 0))

    assert probe(**optim) == probe()


def test_a_probe_puts_the_data_back_as_it_was(small: Small, make_tiles: Callable[..., Tensor]) -> None:
    config = resolve(small(optim=RELATIVE))
    probed, fresh = (BatchLoader(make_tiles(40), 8, 0, flip=True) for _ in range(2))
    probe_grad_norm(config, probed)
    for _ in range(2):
        for a, b in zip(probed.epoch(), fresh.epoch(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("policy", [{}, {"clip": "norm", "clip_norm": 3.0}], ids=["none", "absolute"])
def test_a_run_without_a_relative_norm_is_not_probed(
    small: Small,
    run_fit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    policy: dict[str, Any],
) -> None:
    def never(*_: object) -> float:
        raise AssertionError("probed")

    monkeypatch.setattr("vae.fit.probe_grad_norm", never)
    (info,) = run_fit(small(epochs=1, optim=policy)).watcher.infos
    assert info.probe_grad_norm is None


def test_a_probe_without_a_finite_gradient_says_so(small: Small, make_tiles: Callable[..., Tensor]) -> None:
    config = resolve(small(objective={"kl_weight": 1e300}, optim=RELATIVE))
    with pytest.raises(ArithmeticError, match=r"no gradient of the 20-step probe at 0\.001 was"):
        probe_grad_norm(config, BatchLoader(make_tiles(40), 8, 0))
