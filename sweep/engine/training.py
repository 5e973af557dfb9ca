"""Training on cut tiles, the same in a trial and in its replay."""

from pathlib import Path

import torch

from data_io.tiles.loader import BatchLoader
from data_io.tiles.neighbours import neighbourhoods
from data_io.tiles.resident import resident
from data_io.tiles.tileset import TileSet
from sweep.study.config import TrialConfig
from vae.training.fit import fit
from vae.training.hardware import resolve
from vae.training.hooks import Hooks, RunResult


def train_on(
    tiles: TileSet, config: TrialConfig, hooks: Hooks, checkpoint: Path | None = None, resolved: bool = False
) -> RunResult:
    """See `vae.training.fit`. tiles: those that `config.data` cuts.

    They are trained on where they lie on the device, one copy for all the trials of this process; where they
    do not fit there, batches are gathered in main memory, one ahead of the step.
    """
    device = torch.device((config if resolved else resolve(config)).device)
    there = resident(tiles, device)
    used = there or tiles
    loader = BatchLoader(
        used.train,
        config.batch_size,
        config.seed,
        flip=config.data.flip,
        rotate=config.data.rotate,
        ahead=None if there else device,
    )
    return fit(
        config,
        loader,
        used.validation,
        hooks,
        checkpoint,
        test=used.test,
        test_groups=neighbourhoods(tiles, "test"),
        resolved=resolved,
    )
