"""Where the tiles of a trial lie changes nothing that it gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data_io import DataConfig, TileSet, prepare
from data_io.tiles import resident
from sweep.engine.training import train_on
from sweep.study.config import TrialConfig
from vae.training.hooks import Hooks, RunResult


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(1, 256, (280, 280, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    data = DataConfig(source=str(folder), tile_size=16, block_tiles=2, gap=4, flip=True)
    return prepare(data, tmp_path_factory.mktemp("cache"))


class Losses(Hooks):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_step(self, record: Any) -> None:
        self.seen.append(record["loss"])


def trained(tiles: TileSet, **changes: Any) -> tuple[RunResult, list[float]]:
    model = {"image_size": 16, "base_channels": 4, "latent_dim": 4}
    config = TrialConfig(
        **{"model": model, "data": tiles.config, "epochs": 1, "batch_size": 64, "quality_draws": 0, **changes}
    )
    losses = Losses()
    return train_on(tiles, config, losses), losses.seen


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tiles_on_the_device_train_as_those_in_main_memory(
    tiles: TileSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, losses = trained(tiles, device="cuda")
    monkeypatch.setattr(resident, "SHARE", 0.0)
    resident._copies.clear()
    here, others = trained(tiles, device="cuda")
    assert not resident._copies.get(tiles)
    assert losses == pytest.approx(others, rel=1e-4)
    assert there.summary.keys() == here.summary.keys()


def test_on_a_cpu_the_tiles_themselves_are_trained_on(tiles: TileSet, tmp_path: Path) -> None:
    one, losses = trained(tiles, device="cpu")
    assert not resident._copies.get(tiles)
    again, same = trained(tiles, device="auto" if not torch.cuda.is_available() else "cpu")
    assert losses == same
    # As texts, in which nan equals nan.
    assert repr({k: v for k, v in one.summary.items() if "second" not in k}) == repr(
        {k: v for k, v in again.summary.items() if "second" not in k}
    )
