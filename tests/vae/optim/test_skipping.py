"""Skipped steps change nothing, and a run does not skip forever."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from vae.config import OptimConfig
from vae.optim.skipping import SKIP_LIMIT, Decision, SkipPolicy
from vae.stability.monitor import Outcome


def policy(kind: str, threshold: float | None = None) -> SkipPolicy:
    return SkipPolicy(OptimConfig.model_validate({"skip": kind, "skip_threshold": threshold}))


def decide(
    skipping: SkipPolicy,
    loss: float,
    norm: float,
    parameters: Sequence[Parameter] = (),
    alive: bool | None = None,
) -> Decision:
    lives = None if alive is None else torch.tensor(alive)
    return skipping.decide(torch.tensor(loss), torch.tensor(norm), parameters, lives)


def parameter(norm: float) -> list[Parameter]:
    p = Parameter(torch.zeros(4))
    p.grad = torch.full((4,), norm / 2)
    return [p]


def test_a_run_whose_every_gradient_exceeds_the_threshold_goes_on_training() -> None:
    skipping = policy("threshold", 1.0)
    steps = 0
    for _ in range(10 * (SKIP_LIMIT + 1)):
        parameters = parameter(100.0)
        decision = decide(skipping, 1.0, 100.0, parameters)
        if decision.take:
            steps += 1
            assert parameters[0].grad is not None
            assert math.isclose(float(parameters[0].grad.norm()), 1.0, rel_tol=1e-6)
            assert float(skipping.norm_now(torch.tensor(100.0), decision)) == 1.0
    assert steps == 10


def test_a_run_that_often_skips_learns(small: Callable[..., Any], run_fit: Callable[..., Any]) -> None:
    run = run_fit(small(epochs=8, optim={"skip": "threshold", "skip_threshold": 1.0, "lr": 3e-3}))
    skipped = [record["skipped"] for record in run.watcher.steps]
    assert sum(skipped) == len(skipped) - len(skipped) // (SKIP_LIMIT + 1)
    assert run.result.summary["stability/skip_fraction"] == sum(skipped) / len(skipped)
    assert run.watcher.epochs[-1]["val/recon_loss"] < 0.9 * run.watcher.epochs[0]["val/recon_loss"]


def test_none_makes_a_nonfinite_step_fatal_and_nonfinite_skips_it_for_a_while() -> None:
    assert decide(policy("none"), math.nan, 1.0).fatal
    skipping = policy("nonfinite")
    decisions = [decide(skipping, 1.0, math.inf) for _ in range(SKIP_LIMIT + 1)]
    assert [bool(d.fatal) for d in decisions] == [False] * SKIP_LIMIT + [True]
    assert [bool(d.skipped) for d in decisions] == [True] * SKIP_LIMIT + [False]
    assert not any(d.take for d in decisions)


def test_a_good_step_resets_the_count() -> None:
    skipping = policy("nonfinite")
    for _ in range(5):
        for _ in range(SKIP_LIMIT):
            assert not decide(skipping, math.inf, 1.0).fatal
        assert decide(skipping, 1.0, 1.0).take


@pytest.mark.parametrize("kind", ["none", "nonfinite", "threshold"])
@pytest.mark.parametrize("norm", [0.5, 2.0, math.inf])
def test_what_follows_a_fatal_step_is_neither_taken_nor_counted(kind: str, norm: float) -> None:
    skipping = policy(kind, 1.0 if kind == "threshold" else None)
    for _ in range(3):
        decide(skipping, math.nan, 1.0)
    before, gradients = skipping.state_dict(), parameter(norm)
    assert not any(decide(skipping, 1.0, norm, gradients, alive=False))
    assert skipping.state_dict() == before


def test_a_skipped_step_leaves_weights_and_statistics_as_they_were(
    small: Callable[..., Any], make_tiles: Callable[..., Any]
) -> None:
    from data_io import BatchLoader
    from vae.training.state import TrainState

    config = small(optim={"skip": "nonfinite"})
    loader = BatchLoader(make_tiles(40), config.batch_size, 0)
    state = TrainState(config, loader, None)
    batches = loader.epoch()
    state.advance(next(batches), 1.0)
    before = {k: v.clone() for k, v in state.model.state_dict().items()}
    record = state.advance(next(batches), math.nan)
    assert (record["skipped"], record["fatal"]) == (1, 0)
    assert not math.isfinite(record["loss"])
    assert all(torch.equal(v, before[k]) for k, v in state.model.state_dict().items())
    state.advance(next(batches), 1.0)
    assert state.monitor.nonfinite_step is None
    assert state.monitor.outcome(active_units=1, stopped_early=False)[0] is not Outcome.NONFINITE
