"""Skipped steps change nothing, and a run does not skip forever."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import Parameter

from vae.config import OptimConfig
from vae.optim.skipping import SKIP_LIMIT, SkipPolicy
from vae.stability.monitor import Outcome


def policy(kind: str, threshold: float | None = None) -> SkipPolicy:
    return SkipPolicy(OptimConfig.model_validate({"skip": kind, "skip_threshold": threshold}))


def parameter(norm: float) -> list[Parameter]:
    p = Parameter(torch.zeros(4))
    p.grad = torch.full((4,), norm / 2)
    return [p]


def test_a_run_whose_every_gradient_exceeds_the_threshold_goes_on_training() -> None:
    skipping = policy("threshold", 1.0)
    steps = 0
    for _ in range(10 * (SKIP_LIMIT + 1)):
        parameters = parameter(100.0)
        decision = skipping.decide(1.0, 100.0, parameters)
        if not decision.skip:
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
    assert policy("none").decide(math.nan, 1.0, []).fatal
    skipping = policy("nonfinite")
    decisions = [skipping.decide(1.0, math.inf, []) for _ in range(SKIP_LIMIT + 1)]
    assert [d.fatal for d in decisions] == [False] * SKIP_LIMIT + [True]
    assert all(d.skip for d in decisions)


def test_a_good_step_resets_the_count() -> None:
    skipping = policy("nonfinite")
    for _ in range(5):
        for _ in range(SKIP_LIMIT):
            assert not skipping.decide(math.inf, 1.0, []).fatal
        assert not skipping.decide(1.0, 1.0, []).skip


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
