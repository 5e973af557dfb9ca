"""The shape of every learning-rate schedule: start, end, direction, and agreement with PyTorch's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from vae.config import OptimConfig
from vae.names import LR_SCHEDULES
from vae.optim.lr_schedules import LearningRate

TOTALS = pytest.mark.parametrize("total", [10, 24, 100, 333])


def lrs(total: int, **settings: Any) -> np.ndarray:
    schedule = LearningRate(OptimConfig.model_validate(settings), total)
    return np.array([schedule.at(step) for step in range(total)])


@TOTALS
@pytest.mark.parametrize("name", LR_SCHEDULES.names)
def test_a_learning_rate_starts_at_its_base_and_never_rises_or_reaches_zero(name: str, total: int) -> None:
    lr = lrs(total, lr_schedule=name, lr=0.02)
    assert lr[0] == 0.02
    assert (np.diff(lr) <= 0).all()
    assert lr[-1] > 0


@TOTALS
@pytest.mark.parametrize("decay", [0.3, 0.5, 1.0])
def test_wsd_is_constant_and_then_falls_in_equal_steps_to_zero_at_the_end(decay: float, total: int) -> None:
    lr = lrs(total, lr_schedule="wsd", lr=1, lr_decay_fraction=decay)
    steps = np.arange(total)
    stable = steps <= (1 - decay) * total
    assert np.allclose(lr[stable], 1)
    left = (total - steps[~stable]) / (decay * total)
    assert np.allclose(lr[~stable], left)
    assert (lr[~stable] < 1).all()


def test_no_decay_keeps_the_lr() -> None:
    assert (lrs(50, lr_schedule="wsd", lr=1, lr_decay_fraction=0) == 1).all()


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_a_constant_lr_stays(name: str) -> None:
    assert (lrs(50, lr_schedule=name, lr=0.3) == 0.3).all()


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
    assert np.allclose(lrs(70, lr_schedule="cosine", lr=1), expected, atol=1e-12)


def test_step_is_pytorchs_step_decay() -> None:
    expected = of_pytorch(lr_scheduler.StepLR, 70, step_size=14, gamma=0.3)
    assert np.allclose(lrs(70, lr_schedule="step", lr=1, lr_step_fraction=0.2, lr_gamma=0.3), expected)


@pytest.mark.parametrize("name", LR_SCHEDULES.names)
def test_a_warm_up_rises_in_equal_steps_to_the_schedule_and_then_leaves_it(name: str) -> None:
    plain = lrs(100, lr_schedule=name, lr=0.5)
    warmed = lrs(100, lr_schedule=name, lr=0.5, lr_warmup_fraction=0.2)
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


def test_only_plateau_uses_the_objective() -> None:
    for name in (n for n in LR_SCHEDULES.names if not LR_SCHEDULES.literal(n, "NEEDS_VALIDATION")):
        schedule = LearningRate(OptimConfig(lr_schedule=name), total=100)
        before = schedule.at(30)
        for objective in OBJECTIVES:
            schedule.observe(objective)
        assert schedule.at(30) == before, name


@pytest.mark.parametrize("stop", range(0, len(OBJECTIVES), 3))
def test_a_restored_plateau_continues_as_if_never_stopped(stop: int) -> None:
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


@pytest.mark.parametrize("name", LR_SCHEDULES.names)
def test_a_schedule_is_positive_at_every_step_of_a_run_of_any_length(name: str) -> None:
    for total in (1, 2, 3, 7):
        for step in range(total):
            config = OptimConfig(lr_schedule=name, lr_warmup_fraction=0.3)
            assert 0 < LearningRate(config, total).at(step) <= config.lr
