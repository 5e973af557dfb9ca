"""Training on cut tiles, the same in a trial and in its replay."""

from pathlib import Path

from data_io.tiles.loader import BatchLoader
from data_io.tiles.neighbours import neighbourhoods
from data_io.tiles.tileset import TileSet
from sweep.study.config import TrialConfig
from vae.training.fit import fit
from vae.training.hooks import Hooks, RunResult


def train_on(
    tiles: TileSet, config: TrialConfig, hooks: Hooks, checkpoint: Path | None = None, resolved: bool = False
) -> RunResult:
    """See `vae.training.fit`. tiles: those that `config.data` cuts."""
    loader = BatchLoader(
        tiles.train, config.batch_size, config.seed, flip=config.data.flip, rotate=config.data.rotate
    )
    return fit(
        config,
        loader,
        tiles.validation,
        hooks,
        checkpoint,
        test=tiles.test,
        test_groups=neighbourhoods(tiles, "test"),
        resolved=resolved,
    )
