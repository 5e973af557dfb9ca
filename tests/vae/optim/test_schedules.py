"""The shape of every schedule: start, end, direction, and agreement with PyTorch's own where it has one."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from vae.config import ObjectiveConfig, OptimConfig
from vae.optim.schedules import KL, LR, LearningRate, kl_warmup_end, kl_weight

TOTALS = pytest.mark.parametrize("total", [10, 24, 100, 333])


def weights(total: int, **settings: Any) -> np.ndarray:
    config = ObjectiveConfig.model_validate(settings)
    return np.array([kl_weight(step, total, config) for step in range(total)])


def rates(total: int, **settings: Any) -> np.ndarray:
    schedule = LearningRate(OptimConfig.model_validate(settings), total)
    return np.array([schedule.at(step) for step in range(total)])


@TOTALS
@pytest.mark.parametrize("name", sorted(KL))
def test_a_kl_weight_stays_within_its_final_value_and_ends_there(name: str, total: int) -> None:
    w = weights(total, kl_schedule=name, kl_weight=3.0)
    assert w[-1] == 3.0
    assert w.min() >= 0
    assert w.max() == 3.0


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.9])
def test_a_kl_warm_up_rises_from_zero_and_then_stays(name: str, fraction: float) -> None:
    w = weights(200, kl_schedule=name, kl_warmup_fraction=fraction)
    end = round(fraction * 200)
    assert w[0] == 0
    assert (np.diff(w[: end + 1]) > 0).all()
    assert (w[:end] < 1).all()
    assert (w[end:] == 1).all()
    assert w[end // 2] == pytest.approx(0.5)


def test_a_linear_warm_up_rises_in_equal_steps_and_a_cosine_one_eases_in_and_out() -> None:
    linear = np.diff(weights(200, kl_schedule="linear", kl_warmup_fraction=0.5)[:101])
    assert np.allclose(linear, 1 / 100)
    cosine = np.diff(weights(200, kl_schedule="cosine", kl_warmup_fraction=0.5)[:101])
    assert np.allclose(cosine, cosine[::-1])
    assert (np.diff(cosine[:50]) > 0).all()


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_no_warm_up_is_the_final_weight_throughout(name: str) -> None:
    assert (weights(50, kl_schedule=name, kl_warmup_fraction=0) == 1).all()


@pytest.mark.parametrize("cycles", [1, 4, 5])
def test_each_cycle_ramps_over_its_first_half_and_stays_over_its_second(cycles: int) -> None:
    length = 40
    w = weights(cycles * length, kl_schedule="cyclical", kl_cycles=cycles).reshape(cycles, length)
    assert np.allclose(w, w[0])
    assert np.allclose(w[0, : length // 2], np.arange(length // 2) / (length // 2))
    assert (w[:, length // 2 :] == 1).all()


@TOTALS
@pytest.mark.parametrize(
    "settings",
    [
        {"kl_schedule": "constant"},
        *({"kl_schedule": "linear", "kl_warmup_fraction": f} for f in (0, 0.05, 0.25, 0.3, 0.5, 0.9)),
        *({"kl_schedule": "cosine", "kl_warmup_fraction": f} for f in (0, 0.05, 0.25, 0.3, 0.5, 0.9)),
        *({"kl_schedule": "cyclical", "kl_cycles": c} for c in (1, 2, 3, 4)),
    ],
    ids=str,
)
def test_the_warm_up_ends_at_the_first_step_of_the_final_weight(settings: dict[str, Any], total: int) -> None:
    w = weights(total, **settings)
    assert kl_warmup_end(total, ObjectiveConfig.model_validate(settings)) == int(np.argmax(w == 1.0))


@TOTALS
@pytest.mark.parametrize("name", sorted(LR))
def test_a_learning_rate_starts_at_its_base_and_never_rises_or_reaches_zero(name: str, total: int) -> None:
    lr = rates(total, lr_schedule=name, lr=0.02)
    assert lr[0] == 0.02
    assert (np.diff(lr) <= 0).all()
    assert lr[-1] > 0


@TOTALS
@pytest.mark.parametrize("decay", [0.3, 0.5, 1.0])
def test_wsd_is_constant_and_then_falls_in_equal_steps_to_zero_at_the_end(decay: float, total: int) -> None:
    lr = rates(total, lr_schedule="wsd", lr=1, lr_decay_fraction=decay)
    steps = np.arange(total)
    stable = steps <= (1 - decay) * total
    assert np.allclose(lr[stable], 1)
    left = (total - steps[~stable]) / (decay * total)
    assert np.allclose(lr[~stable], left)
    assert (lr[~stable] < 1).all()


def test_no_decay_keeps_the_rate() -> None:
    assert (rates(50, lr_schedule="wsd", lr=1, lr_decay_fraction=0) == 1).all()


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_a_constant_rate_stays(name: str) -> None:
    assert (rates(50, lr_schedule=name, lr=0.3) == 0.3).all()


def of_pytorch(kind: Callable[..., Any], total: int, **settings: Any) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = kind(optimizer, **settings)
    values = []
    for _ in range(total):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(values)


def test_cosine_is_pytorchs_cosine_annealing() -> None:
    expected = of_pytorch(lr_scheduler.CosineAnnealingLR, 70, T_max=70)
    assert np.allclose(rates(70, lr_schedule="cosine", lr=1), expected, atol=1e-12)


def test_step_is_pytorchs_step_decay() -> None:
    expected = of_pytorch(lr_scheduler.StepLR, 70, step_size=14, gamma=0.3)
    assert np.allclose(rates(70, lr_schedule="step", lr=1, lr_step_fraction=0.2, lr_gamma=0.3), expected)


@pytest.mark.parametrize("name", sorted(LR))
def test_a_warm_up_rises_in_equal_steps_to_the_schedule_and_then_leaves_it(name: str) -> None:
    plain = rates(100, lr_schedule=name, lr=0.5)
    warmed = rates(100, lr_schedule=name, lr=0.5, lr_warmup_fraction=0.2)
    assert np.allclose(warmed[:20] / plain[:20], np.arange(1, 21) / 20)
    assert np.allclose(warmed[19:], plain[19:], rtol=0, atol=0)


OBJECTIVES = [5, 4, 4.5, 4.2, 4, 3.9, 5, 6, 7, 8, 3.8, 4, 4, 4, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_reduces_as_pytorchs_does(patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=patience, threshold=0, eps=0)
    schedule = LearningRate(
        OptimConfig(lr=1, lr_schedule="plateau", lr_gamma=0.3, lr_patience=patience), total=100
    )
    reductions = set()
    for objective in OBJECTIVES:
        expected.step(objective)
        schedule.observe(objective)
        assert schedule.at(50) == pytest.approx(optimizer.param_groups[0]["lr"])
        reductions.add(schedule.at(50))
    assert len(reductions) >= 3, "the objectives above should cause two reductions"


def test_only_plateau_listens_to_the_objective() -> None:
    for name in sorted(LR.keys() - {"plateau"}):
        schedule = LearningRate(OptimConfig(lr_schedule=name), total=100)
        before = schedule.at(30)
        for objective in OBJECTIVES:
            schedule.observe(objective)
        assert schedule.at(30) == before, name


@pytest.mark.parametrize("stop", range(0, len(OBJECTIVES), 3))
def test_a_restored_plateau_goes_on_as_if_never_stopped(stop: int) -> None:
    config = OptimConfig(lr=1, lr_schedule="plateau", lr_gamma=0.3, lr_patience=1)
    schedule, restored = LearningRate(config, 100), LearningRate(config, 100)
    for objective in OBJECTIVES[:stop]:
        schedule.observe(objective)
    state = schedule.state_dict()
    kept = dict(state)
    restored.load_state_dict(state)
    for objective in OBJECTIVES[stop:]:
        schedule.observe(objective)
        restored.observe(objective)
        assert restored.at(7) == schedule.at(7)
        assert restored.state_dict() == schedule.state_dict()
    assert state == kept, "a state is a copy"


@pytest.mark.parametrize("name", sorted(KL) + sorted(LR))
def test_schedules_are_finite_at_every_step_of_runs_of_any_length(name: str) -> None:
    for total in (1, 2, 3, 7):
        for step in range(total):
            if name in KL:
                assert math.isfinite(kl_weight(step, total, ObjectiveConfig(kl_schedule=name)))
            if name in LR:
                config = OptimConfig(lr_schedule=name, lr_warmup_fraction=0.3)
                assert 0 < LearningRate(config, total).at(step) <= config.lr
