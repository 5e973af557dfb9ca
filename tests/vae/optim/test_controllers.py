"""Controllers scale the scheduled learning rate, each by what it observes."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import OptimConfig, TrainConfig
from vae.model.latent import fixed_noise
from vae.names import CONTROLLERS
from vae.optim.controllers import Controller, Setting, build
from vae.optim.controllers.border_cap import FRACTION
from vae.optim.controllers.edge_ratio import HIGHEST, LOWEST, TARGET
from vae.optim.controllers.logvar_guard import HIGH, WAIT
from vae.training.hardware import resolve
from vae.training.state import TrainState

TOTAL = 200


def made(name: str, border_lr: float | None = 1.0, lr: float = 1e-2) -> Controller:
    return build(Setting(OptimConfig(controller=name, lr=lr), TOTAL, border_lr))


def record(step: int, loss: float = 100.0, max_logvar: float = 0.0) -> dict[str, float]:
    return {"step": step, "loss": loss, "max_logvar": max_logvar}


def drive(controller: Controller, steps: range) -> list[float]:
    """Factors over steps whose loss falls slowly and whose log-variance is high from time to time."""
    factors = []
    for step in steps:
        if controller.edge_every and step % controller.edge_every == 0:
            controller.observe_edge(0.1 + step % 7)
        factors.append(controller.factor(step))
        controller.observe(record(step, 100.0 * 0.97**step, 20.0 if step % 50 > 40 else 1.0))
    return factors


@pytest.mark.parametrize("name", CONTROLLERS.names)
def test_the_factor_is_positive_and_finite_and_continues_from_its_state(name: str) -> None:
    whole = drive(made(name), range(TOTAL))
    assert all(math.isfinite(factor) and factor > 0 for factor in whole)
    first, second = made(name), made(name)
    drive(first, range(90))
    second.load_state_dict(first.state_dict())
    assert drive(second, range(90, TOTAL)) == whole[90:]


def test_the_ramp_keeps_half_of_the_lr_at_which_the_loss_halved() -> None:
    ramp = made("ramp")
    rising = []
    for step in range(20):
        rising.append(ramp.factor(step))
        ramp.observe(record(step, 100.0))
    assert rising == sorted(rising)
    assert rising[0] < 0.002
    for step in range(20, 30):
        rising.append(ramp.factor(step))
        ramp.observe(record(step, 1.0))
    halved = next(i for i, (a, b) in enumerate(pairwise(rising)) if b < a)
    assert rising[halved + 1] == pytest.approx(rising[halved] / 2)
    assert len(set(rising[halved + 1 :])) == 1


def test_a_ramp_that_finds_nothing_ends_at_the_configured_lr() -> None:
    ramp = made("ramp")
    for step in range(TOTAL):
        ramp.observe(record(step, 100.0))
    assert ramp.factor(TOTAL - 1) == 1.0


@pytest.mark.parametrize(("border_lr", "lr"), [(1.0, 1e-2), (1e-2, FRACTION * 1e-2)])
def test_the_cap_lowers_an_lr_above_it_and_no_other(border_lr: float, lr: float) -> None:
    assert made("border_cap", border_lr).factor(0) * 1e-2 == pytest.approx(lr)


def test_the_regulator_brings_the_edge_ratio_to_its_target() -> None:
    """If edge_ratio is proportional to the learning rate, as it is at fixed weights."""
    for slope in (0.2, 1.0, 5.0):
        regulator = made("edge_ratio")
        for _ in range(30):
            regulator.observe_edge(slope * regulator.factor(0))
        assert slope * regulator.factor(0) == pytest.approx(TARGET, rel=0.05)


def test_the_regulator_keeps_within_its_limits_and_ignores_nan() -> None:
    regulator = made("edge_ratio")
    regulator.observe_edge(math.nan)
    assert regulator.factor(0) == 1.0
    for _ in range(20):
        regulator.observe_edge(math.inf)
    assert regulator.factor(0) == LOWEST
    for _ in range(30):
        regulator.observe_edge(0.0)
    assert regulator.factor(0) == HIGHEST


def test_the_log_variance_guard_halves_waits_and_lets_the_lr_recover() -> None:
    guard = made("logvar_guard")
    guard.observe(record(0, max_logvar=HIGH + 1))
    assert guard.factor(1) == 0.5
    for step in range(1, WAIT):
        guard.observe(record(step, max_logvar=math.nan))
    assert guard.factor(WAIT) == 0.5
    guard.observe(record(WAIT, max_logvar=math.nan))
    assert guard.factor(WAIT + 1) == 0.25
    for step in range(WAIT + 1, 100):
        guard.observe(record(step, max_logvar=0.0))
    assert guard.factor(100) == 1.0


def test_a_run_makes_its_steps_at_the_scaled_lr(
    run_fit: Callable[..., Any], small: Callable[..., TrainConfig]
) -> None:
    """What is recorded as `lr` is what the optimizer used; the cap has the border searched for."""
    optim = {"optimizer": "sgd", "lr": 10.0, "lr_schedule": "constant", "controller": "border_cap"}
    run = run_fit(small(epochs=2, optim=optim))
    lrs = {step["lr"] for step in run.watcher.steps}
    assert len(lrs) == 1
    assert lrs.pop() < 1.0
    assert run.result.objective < math.inf


def test_the_edge_is_measured_while_the_lr_is_constant(
    run_fit: Callable[..., Any], small: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae.optim.controllers import edge_ratio

    asked: list[float] = []
    monkeypatch.setattr(edge_ratio.Policy, "observe_edge", lambda self, value: asked.append(value))
    optim = {"controller": "edge_ratio", "lr_warmup_fraction": 0.25, "lr_decay_fraction": 0.5}
    run_fit(small(epochs=8, optim=optim))
    # 40 steps, measured every second: those from the tenth to the twentieth.
    assert len(asked) == 6
    assert all(value > 0 for value in asked)


def test_the_edge_ratio_alone_is_that_of_the_whole_measurement(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small())
    state = TrainState(config, BatchLoader(make_tiles(40), 8, 0), None)
    for batch in state.source.epoch():
        state.advance(batch, 1.0)
    held = {name: value.clone() for name, value in state.model.state_dict().items()}
    fixed = state.source.images[:8], fixed_noise(8, config.model.latent_dim, state.device)
    edge = state.edge_on(*fixed)
    assert edge.ratio(1.0, 1e-3) == pytest.approx(edge.measure(1.0, 1e-3)["edge_ratio"], rel=1e-4)
    assert all(torch.equal(value, held[name]) for name, value in state.model.state_dict().items())
