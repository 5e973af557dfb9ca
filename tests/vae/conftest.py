"""Small learnable tiles, a small model, and a watcher that keeps what a run passes to its hooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.model.pictures import Pictures
from vae.training.fit import fit
from vae.training.hooks import Hooks, RunInfo, RunResult

SIZE = 32
SMALL: dict[str, dict[str, Any]] = {
    "model": {
        "image_size": SIZE,
        "encoder_depth": 3,
        "decoder_depth": 3,
        "base_channels": 8,
        "max_channels": 16,
        "latent_dim": 6,
    },
    "objective": {"kl_schedule": "constant", "kl_weight": 0.1},
    "optim": {"lr": 3e-3},
}


class Watcher(Hooks):
    """Keeps all records; raises `error` after the step or epoch of that number, or at the start."""

    def __init__(self, error: BaseException | None, at: tuple[str, int] | None) -> None:
        self.error, self.at = error, at
        self.calls: list[str] = []
        self.infos: list[RunInfo] = []
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.pictures: list[tuple[int, Pictures]] = []

    def _called(self, name: str, number: int) -> None:
        self.calls.append(name)
        if self.error and self.at == (name, number):
            raise self.error

    def on_start(self, info: RunInfo) -> None:
        self.infos.append(info)
        self._called("start", 0)

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)
        self._called("step", int(record["step"]))

    def on_epoch(self, record: dict[str, float]) -> None:
        self.epochs.append(record)
        self._called("epoch", int(record["epoch"]))

    def on_pictures(self, step: int, pictures: Pictures) -> None:
        self.pictures.append((step, pictures))
        self._called("pictures", step)


class Run(NamedTuple):
    result: RunResult
    watcher: Watcher


def smooth_tiles(count: int, size: int = SIZE, seed: int = 0) -> Tensor:
    """(count, 3, size, size) uint8, smooth and therefore easy to learn."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-1, 1, size)
    colour = rng.uniform(60, 120, (count, 3, 1, 1))
    across = rng.uniform(-40, 40, (count, 1, 1, 1)) * ramp
    down = rng.uniform(-40, 40, (count, 1, 1, 1)) * ramp[:, None]
    return torch.from_numpy((colour + across + down).round().astype(np.uint8))


@pytest.fixture(scope="session")
def make_tiles() -> Callable[..., Tensor]:
    """make_tiles(count, size=32, seed=0): see `smooth_tiles`."""
    return smooth_tiles


@pytest.fixture
def small() -> Callable[..., TrainConfig]:
    """small(epochs=3, optim={"lr": 0.1}, ...): a config of the small model on one thread."""

    def build(**changes: Any) -> TrainConfig:
        settings: dict[str, Any] = {
            "epochs": 3,
            "batch_size": 8,
            "threads": 1,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "contiguous",
            "checkpoint_seconds": 0,
        }
        parts = {name: part | changes.pop(name, {}) for name, part in SMALL.items()}
        return TrainConfig.model_validate(settings | changes | parts)

    return build


@pytest.fixture
def run_fit(make_tiles: Callable[..., Tensor]) -> Callable[..., Run]:
    """run_fit(config, path=None, error=None, at=None): fit on 40 tiles, 5 batches an epoch.

    at=("step", 7) with an error makes the hook raise it after step 7; `watcher` hands the records out
    where the run ends by it.
    """

    def run(
        config: TrainConfig,
        path: Path | None = None,
        error: BaseException | None = None,
        at: tuple[str, int] | None = None,
    ) -> Run:
        loader = BatchLoader(make_tiles(40), config.batch_size, config.seed, flip=True, rotate=True)
        watcher = Watcher(error, at)
        return Run(fit(config, loader, make_tiles(12, seed=1), watcher, path), watcher)

    return run


@pytest.fixture
def assert_same_run() -> Callable[..., None]:
    """Bit-equal weights, results, records and pictures; `from_epoch` skips earlier records."""

    def rows(records: list[dict[str, float]], from_epoch: int) -> list[str]:
        # The text of a float names its bits, and nan equals nan in it.
        return [
            repr({name: value for name, value in record.items() if not name.startswith("time/")})
            for record in records
            if record["epoch"] >= from_epoch
        ]

    def check(one: Run, other: Run, from_epoch: int = 0) -> None:
        for name in ("outcome", "reason", "objective", "best_epoch", "outcome_step", "last_finite_loss"):
            assert repr(getattr(one.result, name)) == repr(getattr(other.result, name)), name
        for name in ("steps", "epochs", "summary"):
            assert repr(getattr(one.result, name)) == repr(getattr(other.result, name)), name
        assert one.result.weights.keys() == other.result.weights.keys()
        for name, value in one.result.weights.items():
            assert torch.equal(value, other.result.weights[name]), name
        assert rows(one.watcher.steps, from_epoch) == rows(other.watcher.steps, from_epoch)
        assert rows(one.watcher.epochs, from_epoch) == rows(other.watcher.epochs, from_epoch)
        drawn = dict(one.watcher.pictures)
        assert other.watcher.pictures[-1][0] == max(drawn)
        for step, pictures in other.watcher.pictures:
            assert all(torch.equal(a, b) for a, b in zip(pictures, drawn[step], strict=True)), step

    return check
