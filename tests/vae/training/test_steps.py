"""Steps made in blocks, which no host interrupts, are the steps made one by one, to the last bit."""

import gc
import math
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.utils._pytree import tree_leaves

from data_io import BatchLoader
from tests.vae.conftest import Run, Watcher, smooth_tiles
from tests.vae.training.test_resume import SETTINGS, STATELESS
from vae.config import TrainConfig
from vae.stability.labels import verdict
from vae.stability.monitor import Outcome
from vae.training.fit import fit
from vae.training.state import TrainState
from vae.training.steps import Record, needs_host, steps_of

Small = Callable[..., TrainConfig]
RunFit = Callable[..., Run]
AssertSame = Callable[..., None]

BREAKING: dict[str, dict[str, Any]] = {
    "nonfinite": {"optim": {"lr": 30.0}},
    "nonfinite-group": {"optim": {"lr": 30.0}, "model": {"norm": "group"}},
    "skips-until-fatal": {"optim": {"lr": 30.0, "skip": "nonfinite"}},
    "skips-until-fatal-sgd": {"optim": {"lr": 1.0, "skip": "nonfinite", "optimizer": "sgd"}},
    "large-are-rescaled": {"optim": {"lr": 0.3, "skip": "threshold", "skip_threshold": 40.0}},
    "zscore-long": {"optim": {"clip": "zscore", "skip": "nonfinite"}, "epochs": 9},
    "percentile-skips": {"optim": {"clip": "percentile", "skip": "threshold", "skip_threshold": 150.0}},
    "capacity": {"objective": {"kl_rule": "capacity", "kl_schedule": "linear"}, "epochs": 6},
    "clipped-and-broken": {"optim": {"lr": 30.0, "clip": "agc", "optimizer": "adamw"}},
    "probe-blowup": {"optim": {"lr": 3.0}, "probe": {"label": "blowup"}},
    "probe-stable": {"probe": {"label": "nonfinite", "horizon": 6}},
    "probe-useless": {"probe": {"label": "useless", "horizon": 0.5}, "epochs": 40},
}
HOST = {
    *("optimizer-prodigy", "optimizer-schedulefree"),
    *("controller-ramp", "controller-edge_ratio", "controller-logvar_guard"),
}
"""Settings that need the host in each step."""


def cases(names: Iterable[str]) -> list[Any]:
    return [
        pytest.param(name, id=name, marks=[pytest.mark.slow] if name.startswith(STATELESS) else [])
        for name in names
    ]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several in an epoch of five batches, the last of them shorter."""
    monkeypatch.setattr("vae.training.steps.BLOCK", 2)
    monkeypatch.setattr("vae.training.steps.PROBE_BLOCK", 3)


@pytest.mark.parametrize("name", cases(SETTINGS | BREAKING))
def test_blocks_change_no_bit(small: Small, run_fit: RunFit, assert_same_run: AssertSame, name: str) -> None:
    settings = {"epochs": 4} | (SETTINGS | BREAKING)[name]
    probing = "probe" in settings
    one_by_one, in_blocks = (run_fit(small(step=step, **settings)) for step in ("eager", "graph"))
    assert [w.watcher.infos[0].steps for w in (one_by_one, in_blocks)] == [
        "one by one",
        "one by one" if name in HOST else "in blocks",
    ]
    assert (in_blocks.watcher.infos[0].needs_host is not None) == (name in HOST)
    if not probing and one_by_one.watcher.epochs:
        assert_same_run(one_by_one, in_blocks)
    else:
        assert repr(one_by_one.watcher.steps) == repr(in_blocks.watcher.steps)
        one, other = (replace(run.result, seconds=0) for run in (one_by_one, in_blocks))
        assert repr(one) == repr(other)
    assert one_by_one.watcher.calls == in_blocks.watcher.calls


def walked(config: TrainConfig, epochs: int, resident: bool = False) -> tuple[TrainState, list[Record]]:
    """A run's state and records after so many epochs, or where it ended. resident: with its tiles on its
    device."""
    tiles = smooth_tiles(40).to(config.device) if resident else smooth_tiles(40)
    source = BatchLoader(tiles, config.batch_size, config.seed, flip=True, rotate=True)
    state = TrainState(config, source, config.optim.clip_norm or 50.0, border_lr=0.1)
    probe = config.probe

    def decided() -> bool:
        if probe.label == "none":
            return False
        return verdict(probe.label, state.labels.observation(), probe.horizon) is not None

    steps = steps_of(state)
    records: list[Record] = []
    for _ in range(epochs):
        for block in steps.epoch(decided, lambda _: None):
            records += block
            if state.monitor.nonfinite_step is not None or decided():
                return state, records
        state.epoch += 1
    return state, records


def texts(tree: Any) -> list[str]:
    return [repr(leaf.tolist()) if isinstance(leaf, Tensor) else repr(leaf) for leaf in tree_leaves(tree)]


@pytest.mark.parametrize("name", [n for n in BREAKING if not n.startswith("probe")] + ["float32"])
def test_a_run_that_ends_within_a_block_has_the_state_of_its_last_step(small: Small, name: str) -> None:
    """Weights, moments, batch norm's statistics, generator, position in the data, counters, monitor."""
    settings = {"epochs": 4} | (SETTINGS | BREAKING)[name]
    (one, records), (other, others) = (walked(small(step=step, **settings), 9) for step in ("eager", "graph"))
    assert repr(records) == repr(others)
    assert texts(one.state_dict()) == texts(other.state_dict())
    broke = one.monitor.nonfinite_step is not None
    assert broke == (name not in {"float32", "zscore-long", "percentile-skips", "capacity"})


def test_a_probe_ends_with_the_counters_of_its_last_step(small: Small) -> None:
    settings = BREAKING["probe-stable"]
    (one, _), (other, _) = (walked(small(step=s, epochs=4, **settings), 4) for s in ("eager", "graph"))
    assert (one.step, one.epoch) == (other.step, other.epoch) == (6, 1)
    for name in ("noise", "source", "monitor", "labels", "learning_rate"):
        assert texts(one.state_dict()[name]) == texts(other.state_dict()[name]), name


class _Leaves(Watcher):
    """Asks for a checkpoint after some step and leaves when it is on disk."""

    def __init__(self, at: int) -> None:
        super().__init__(None, None)
        self.leaves_at = at

    def wants_checkpoint(self) -> bool:
        return bool(self.steps) and self.steps[-1]["step"] >= self.leaves_at

    def after_checkpoint(self, step: int) -> None:
        assert [record["step"] for record in self.steps][-1] == step - 1
        raise KeyboardInterrupt


@pytest.mark.parametrize("first", ["eager", "graph"])
@pytest.mark.parametrize("then", ["eager", "graph"])
@pytest.mark.parametrize("at", [1, 3, 4, 7])
def test_a_run_that_is_left_within_an_epoch_goes_on_either_way(
    small: Small, run_fit: RunFit, assert_same_run: AssertSame, tmp_path: Path, first: str, then: str, at: int
) -> None:
    config = small(epochs=3, checkpoint_seconds=3600)
    source = BatchLoader(smooth_tiles(40), config.batch_size, config.seed, flip=True, rotate=True)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(
            config.model_copy(update={"step": first}),
            source,
            smooth_tiles(12, seed=1),
            _Leaves(at),
            path,
        )
    resumed = run_fit(config.model_copy(update={"step": then}), path)
    assert_same_run(run_fit(config), resumed, from_epoch=2)


def test_what_cannot_be_made_in_blocks_says_why(small: Small) -> None:
    source = BatchLoader(smooth_tiles(40), 8, 0)

    def why(**settings: Any) -> str | None:
        return needs_host(TrainState(small(**settings), source, None, border_lr=0.1))

    assert why() is None
    assert why(optim={"controller": "border_cap"}) is None
    assert why(optim={"guard": "rollback"}) == "optim.guard=rollback"
    assert why(optim={"optimizer": "prodigy", "lr": 1.0}) == "optim.optimizer=prodigy"
    uneven = BatchLoader(smooth_tiles(41), 8, 0, drop_last=False)
    assert needs_host(TrainState(small(), uneven, None)) == "batches that are not all of one size"


@pytest.mark.parametrize("step", ["eager", "graph"])
@pytest.mark.parametrize("name", ["float32", "nonfinite", "probe-stable", "curvature"])
def test_a_run_that_is_over_frees_its_memory_at_once(
    small: Small, run_fit: RunFit, monkeypatch: pytest.MonkeyPatch, step: str, name: str
) -> None:
    """Not when the garbage collector comes round: on a GPU the next trial needs it."""
    states: list[weakref.ref[TrainState]] = []
    make = TrainState.__init__

    def seen(state: TrainState, *arguments: Any, **named: Any) -> None:
        states.append(weakref.ref(state))
        make(state, *arguments, **named)

    monkeypatch.setattr(TrainState, "__init__", seen)
    gc.collect()
    gc.disable()
    try:
        run_fit(small(step=step, **(SETTINGS | BREAKING)[name]))
        assert states
        assert [state() for state in states] == [None] * len(states)
    finally:
        gc.enable()


def test_a_learning_run_in_long_blocks_is_a_learning_run(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vae.training.steps.BLOCK", 32)
    state, records = walked(small(step="graph", epochs=10), 10)
    assert [record["step"] for record in records] == list(range(50))
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    assert state.monitor.outcome(active_units=1, stopped_early=False)[0] is Outcome.BUDGET
    assert all(math.isnan(r["update_ratio"]) == (r["step"] % 8 != 0) for r in records)
