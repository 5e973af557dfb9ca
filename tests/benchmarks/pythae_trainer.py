"""Training images a second of a whole trial against pythae's `BaseTrainer`, in bfloat16 and in float32.

    python -m tests.benchmarks.pythae_trainer [--size 64] [--rounds 5] [--epochs 4] [--clock wall]

The same network from the same seed, the same Adam, rate and batches of the same size, and the same tiles in
memory. Ours is a whole trial: harness, tracking, stability quantities at every step, random flips and turns,
validation, checkpoints, pictures; pythae's is its trainer with its defaults, which validates every epoch too
and keeps the best. The image quality at a run's end is off: theirs has none. Two ratios: of the images a
second while training, and of the seconds of everything (in a short run the costs of its start and end weigh
more than they do in one of 24 epochs). 64 px: base 32, batch 32. 224 px: base 64,
batch 16, latent 256. `--clock cpu` counts processor seconds of one thread, for a machine that is busy.

    pip install -e '.[benchmark]'
"""

import argparse
import contextlib
import importlib.util
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_io import TileSet
from studies.base import LAPTOP, PAPER
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.harness_overhead import TrialRunner
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, Clock, ratios, take_turns
from vae.loss.loss import Loss
from vae.model.network import build_model
from vae.model.pixels import normalise
from vae.training.hardware import resolve

SETTINGS: dict[int, tuple[TrialConfig, dict[str, Any]]] = {
    64: (LAPTOP, {"model.base_channels": 32, "optim.lr": 1e-3}),
    # The fan-in of the latent head is 100,352: at 1e-3 the first steps are not finite.
    224: (PAPER, {"model.max_downsamples": 4, "batch_size": 16, "device": "cpu", "optim.lr": 3e-5}),
}
TARGETS = {(64, "bfloat16"): 1.8, (224, "bfloat16"): 2.5, (64, "float32"): 1.1, (224, "float32"): 1.1}


def configured(size: int, precision: str, epochs: int, threads: int) -> TrialConfig:
    base, settings = SETTINGS[size]
    common = {
        "epochs": epochs,
        "precision": precision,
        "threads": threads,
        "optim.lr_schedule": "constant",
        "quality_draws": 0,
    }
    config = resolve(with_settings(base, settings | common))
    assert isinstance(config, TrialConfig)
    return config


class PythaeRun:
    """pythae's trainer over the same network; adds up the seconds of its training phases."""

    def __init__(
        self, config: TrialConfig, tiles: TileSet, folder: Path, clock: Clock, amp: bool = False
    ) -> None:
        """amp: its mixed precision, which it has on a GPU alone."""
        from pythae.data.datasets import BaseDataset

        self.config, self.folder, self.clock, self.amp = config, folder, clock, amp
        self.train, self.validation = (
            BaseDataset(normalise(split, config.model.output_range), torch.zeros(len(split)))
            for split in (tiles.train, tiles.validation)
        )
        self.images = config.epochs * len(tiles.train)
        self.training: list[float] = []

    def __call__(self) -> None:
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        class Timed(BaseTrainer):  # type: ignore[misc]
            seconds = 0.0

            def train_step(self, epoch: int) -> float:
                _wait(config)
                began = clock()
                loss = super().train_step(epoch)
                _wait(config)
                self.seconds += clock() - began
                return float(loss)

        clock, config = self.clock, self.config
        settings = BaseTrainerConfig(
            output_dir=str(self.folder),
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=128,
            num_epochs=config.epochs,
            learning_rate=config.optim.lr,
            no_cuda=torch.device(config.device).type == "cpu",
            **({"amp": True} if self.amp else {}),
        )
        logging.disable(logging.INFO)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            trainer = Timed(_as_pythae(config), self.train, self.validation, settings)
            trainer.train()
        logging.disable(logging.NOTSET)
        self.training.append(trainer.seconds)


def _wait(config: TrialConfig) -> None:
    """For a GPU, which is told faster than it works."""
    if torch.device(config.device).type == "cuda":
        torch.cuda.synchronize()


def _as_pythae(config: TrialConfig) -> Any:
    """Our network as a pythae model: its forward pass returns the loss."""
    from pythae.data.datasets import DatasetOutput
    from pythae.models import BaseAE, BaseAEConfig
    from pythae.models.base.base_utils import ModelOutput

    class Wrapped(BaseAE):  # type: ignore[misc]
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.model_name, self.model_config, self.device = "VAE", BaseAEConfig(), None
            self.vae = build_model(config.model, config.seed)

        def forward(self, inputs: DatasetOutput, **_: Any) -> ModelOutput:
            x: Tensor = inputs["data"]
            output = self.vae(x, torch.randn(len(x), config.model.latent_dim, device=x.device))
            return ModelOutput(loss=Loss().terms(x, output, 1.0).loss, recon_x=output.recon, z=output.mu)

        def save(self, dir_path: str) -> None:
            torch.save(self.state_dict(), Path(dir_path) / "model.pt")

    return Wrapped()


def compare(
    size: int, rounds: int, epochs: int, threads: int, clock: str, precisions: tuple[str, ...]
) -> list[Row]:
    """A row of images a second and one of whole seconds for each precision, against pythae in float32."""
    where = f"{size} px, {threads} thread{'s' if threads > 1 else ''}, {clock} clock"
    if importlib.util.find_spec("pythae") is None:
        note = "pythae is not installed: pip install -e '.[benchmark]'"
        return [Row(f"training against pythae, {where}", None, "", note=note)]
    torch.set_num_threads(threads)
    ticks = CLOCKS[clock]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runners = {
            precision: TrialRunner(configured(size, precision, epochs, threads), folder / precision, ticks)
            for precision in precisions
        }
        tiles = next(iter(runners.values())).tiles
        theirs = PythaeRun(configured(size, "float32", epochs, threads), tiles, folder / "pythae", ticks)
        works: dict[str, Callable[[], object]] = {"pythae": theirs, **runners}
        seconds = take_turns(works, rounds, ticks)
    rows = []
    training = theirs.training[-rounds:]
    for precision, runner in runners.items():
        whole = ratios(seconds["pythae"], seconds[precision])
        pace = ratios(training, runner.training[-rounds:])
        ours, baseline = (
            theirs.images / sorted(s)[rounds // 2] for s in (runner.training[-rounds:], training)
        )
        rows += [
            Row(
                f"training images/s, {precision}, {where}",
                pace.median,
                "x pythae",
                pace.interval,
                TARGETS[size, precision],
                note=f"{ours:.3g} against {baseline:.3g} images/s",
            ),
            Row(
                f"whole trial of {epochs} epochs, {precision}, {where}",
                whole.median,
                "x pythae",
                whole.interval,
            ),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, choices=sorted(SETTINGS), default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    show(compare(o.size, o.rounds, o.epochs, o.threads, o.clock, tuple(o.precisions)), o.json)


if __name__ == "__main__":
    main()
