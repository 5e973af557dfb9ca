"""The guard rolls back if the weights are to blame for a spike, and not if the batch is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.optim.guard import MAX_ROLLBACKS, SNAPSHOT_EVERY, WINDOW, Guard
from vae.training.fit import fit
from vae.training.hardware import resolve
from vae.training.hooks import Hooks
from vae.training.state import TrainState

Small = Callable[..., TrainConfig]
READY = 2 * SNAPSHOT_EVERY + 1
"""Number of steps after which there are two snapshots and enough losses."""


class Line(nn.Module):
    """One weight; the loss on a batch is the batch times the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def loss(self, batch: float) -> float:
        return batch * float(self.weight.detach())


def guarded(steps: int = READY) -> tuple[Guard, Line]:
    """A guard and its model after so many healthy steps with a loss of 1."""
    line = Line()
    guard = Guard(line, nn.Identity(), torch.optim.SGD(line.parameters(), lr=0.1))
    for step in range(steps):
        guard.before_step(step)
        assert not guard.after_step(line.loss(1.0), lambda: line.loss(1.0))
    return guard, line


def spoil(line: Line, weight: float) -> None:
    with torch.no_grad():
        line.weight.fill_(weight)


@pytest.mark.parametrize("weight", [10.0, float("nan"), float("inf")])
def test_weights_that_went_bad_are_rolled_back_and_the_lr_halved(weight: float) -> None:
    guard, line = guarded()
    spoil(line, weight)
    assert guard.after_step(line.loss(1.0), lambda: line.loss(1.0))
    assert line.loss(1.0) == 1.0
    assert (guard.factor, guard.rollbacks, guard.false_alarms) == (0.5, 1, 0)


def test_a_hard_batch_changes_nothing() -> None:
    guard, line = guarded()
    spoil(line, 0.9)
    assert not guard.after_step(line.loss(10.0), lambda: line.loss(10.0))
    assert line.loss(1.0) == pytest.approx(0.9)
    assert (guard.factor, guard.rollbacks, guard.false_alarms) == (1.0, 0, 1)


def test_the_snapshot_is_from_before_the_trouble() -> None:
    """Weights that go bad slowly are already in the newer snapshot."""
    guard, line = guarded(2 * SNAPSHOT_EVERY)
    spoil(line, 2.0)
    guard.before_step(2 * SNAPSHOT_EVERY)
    assert not guard.after_step(line.loss(1.0), lambda: line.loss(1.0))
    spoil(line, 8.0)
    assert guard.after_step(line.loss(1.0), lambda: line.loss(1.0))
    assert line.loss(1.0) == 1.0


def test_with_too_few_losses_the_guard_does_nothing() -> None:
    guard, line = guarded(WINDOW - 5)
    spoil(line, 100.0)
    assert not guard.after_step(line.loss(1.0), lambda: line.loss(1.0))


def test_a_run_that_always_spikes_is_left_alone_in_the_end() -> None:
    guard, line = guarded()
    done = []
    for step in range(READY, READY + 100):
        guard.before_step(step)
        spoil(line, 10.0)
        done.append(guard.after_step(line.loss(1.0), lambda: line.loss(1.0)))
    assert sum(done) == guard.rollbacks == MAX_ROLLBACKS


def test_a_healthy_run_with_batches_of_eight_is_never_rolled_back(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    """Every 23rd batch is noise and many times as hard as the others: suspicious, but no reason to act."""
    noise = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0))

    class Mixed(BatchLoader):
        count = 0

        def epoch(self) -> Any:
            for batch in super().epoch():
                self.count += 1
                yield noise.to(torch.uint8) if self.count % 23 == 0 else batch

    config = resolve(small(epochs=30, optim={"guard": "rollback", "lr": 1e-3}))
    summary = fit(config, Mixed(make_tiles(40), 8, 0), make_tiles(12, seed=1), Hooks()).summary
    assert summary["stability/guard_false_alarms"] >= 3
    assert summary["stability/rollbacks"] == 0


def test_a_run_whose_weights_are_spoilt_continues_as_before(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    """Weights, batch norm and Adam's moments are restored; the loss is repeated with the step's own noise."""
    config = resolve(small(epochs=20, optim={"guard": "rollback", "lr": 1e-3, "lr_schedule": "constant"}))
    state = TrainState(config, BatchLoader(make_tiles(40), 8, 0), None)
    records = []
    while state.step < 60:
        for batch in state.source.epoch():
            if state.step == 45:
                with torch.no_grad():
                    for p in state.model.parameters():
                        p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
            records.append(state.advance(batch, 1.0))
    assert [r["step"] for r in records if r["rolled_back"]] == [45]
    assert records[45]["loss"] > 3 * records[44]["loss"]
    assert records[46]["loss"] < 2 * records[44]["loss"]
    assert records[46]["lr"] == pytest.approx(records[44]["lr"] / 2)


def test_a_run_that_was_rolled_back_is_resumed_bit_equal(
    small: Small, run_fit: Callable[..., Any], assert_same_run: Callable[..., None], tmp_path: Path
) -> None:
    """Stopped after a rollback, whose step is then repeated, and again an epoch later."""
    optim = {"guard": "rollback", "skip": "nonfinite", "lr": 0.1, "lr_schedule": "constant"}
    config = small(epochs=8, optim=optim)
    undisturbed = run_fit(config)
    first = next(int(step["step"]) for step in undisturbed.watcher.steps if step["rolled_back"])
    path = tmp_path / "run.pt"
    for at in (first + 1, first + 6):
        with pytest.raises(InterruptedError):
            run_fit(config, path, InterruptedError(), ("step", at))
    assert_same_run(undisturbed, run_fit(config, path), from_epoch=(first + 6) // 5)
