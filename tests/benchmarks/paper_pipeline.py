"""The input side of an epoch: the paper's pipeline as printed against ours.

    python -m tests.benchmarks.paper_pipeline [--files 16] [--rounds 5] [--threads 1]

Theirs decodes each 1830 x 1830 file in every epoch, then `Resize((224, 224))`, `ToTensor`, `Normalize`, in
a DataLoader with its defaults, and copies the batch. Ours gathers uint8 tiles by index from memory, turns
and mirrors them, and normalises the batch; decoding, shrinking and cutting are done once, before the first
epoch (`once`, not part of an epoch's time). The files are made of the bundled scenes: mirrored over their
edges to 1830 x 1830, each from another place, stored as PNG as the paper's were (JPEG: `--format jpeg`).
`epoch`: input and training together, batch 16, at the pace that a step of this machine has in float32 for a
plain loop (their side) and in the run's precision (ours).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from data_io import BatchLoader, DataConfig, prepare
from data_io.sources import list_images
from data_io.sources.sample import SAMPLE
from sweep.study.config import TrialConfig
from tests.benchmarks.pythae_trainer import configured
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, middle, ratios, take_turns
from vae.model.network import build_model
from vae.model.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise
from vae.training.state import TrainState

SIDE, SHRUNK, BATCH = 1830, 224, 16


class Scenes(Dataset):  # type: ignore[type-arg]
    """As printed: a file is opened and transformed whenever it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())
        self.transform = transforms.Compose(
            [
                transforms.Resize((SHRUNK, SHRUNK)),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self.transform(Image.open(self.paths[index]).convert("RGB"))
        return image


def make_files(folder: Path, count: int, suffix: str) -> None:
    """`count` images of 1830 x 1830 out of the bundled scenes, no two alike."""
    scenes = [
        torch.from_numpy(np.array(Image.open(image.file).convert("RGB"))) for image in list_images(SAMPLE)
    ]
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        scene = scenes[number % len(scenes)]
        rows, columns = (
            _mirrored(torch.arange(SIDE) + int(torch.randint(size, (1,), generator=generator)), size)
            for size in scene.shape[:2]
        )
        Image.fromarray(scene[rows][:, columns].numpy()).save(folder / f"{number:03d}.{suffix}")


def input_side(files: int, rounds: int, threads: int, clock: str, suffix: str) -> list[Row]:
    torch.set_num_threads(threads)
    ticks = CLOCKS[clock]
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "files", Path(name) / "cache"
        folder.mkdir()
        make_files(folder, files, suffix)
        began = time.perf_counter()
        settings = DataConfig(
            source=str(folder),
            mode="resize",
            tile_size=SHRUNK,
            validation_fraction=1e-6,
            test_fraction=1e-6,
        )
        tiles = prepare(settings, cache)
        once = time.perf_counter() - began
        images = torch.cat([tiles.train, tiles.validation, tiles.test])
        loader = BatchLoader(images, BATCH, 0, flip=True, rotate=True, drop_last=False)
        plain = DataLoader(Scenes(folder), batch_size=BATCH, shuffle=True)

        def theirs() -> None:
            for batch in plain:
                batch.to("cpu", copy=True)

        def ours() -> None:
            for batch in loader.epoch():
                normalise(batch, "paper", torch.channels_last)

        # Ours is short: many epochs a round.
        repeats = 20
        works = {"theirs": theirs, "ours": lambda: [ours() for _ in range(repeats)]}
        seconds = take_turns(works, rounds, ticks)
    per_image = {
        "theirs": middle(seconds["theirs"]).median / files,
        "ours": middle(seconds["ours"]).median / files / repeats,
    }
    faster = ratios([repeats * s for s in seconds["theirs"]], seconds["ours"])
    where = f"{threads} threads, {clock} clock"
    rows = [
        Row(
            f"input side of an epoch, {suffix} files, {where}",
            faster.median,
            "x the paper's",
            faster.interval,
            100.0,
            note=f"{1e3 * per_image['ours']:.3g} against {1e3 * per_image['theirs']:.3g} ms an image; "
            f"once {1e3 * once / files:.0f} ms an image",
        )
    ]
    return rows + whole_epoch(per_image, threads, clock)


def whole_epoch(per_image: dict[str, float], threads: int, clock: str) -> list[Row]:
    """Input and steps together; steps are timed in turn on one batch."""
    config = configured(SHRUNK, "auto", 1, threads)
    batch = torch.randint(0, 256, (BATCH, 3, SHRUNK, SHRUNK), dtype=torch.uint8)
    works = {"theirs": plain_step(config, batch), "ours": our_step(config, batch)}
    seconds = take_turns(works, 3, CLOCKS[clock])
    steps = {name: [s / BATCH for s in values] for name, values in seconds.items()}
    theirs, ours = ([s + per_image[name] for s in steps[name]] for name in ("theirs", "ours"))
    ratio = ratios(theirs, ours)
    note = f"{1 / middle(ours).median:.3g} against {1 / middle(theirs).median:.3g} images/s"
    name = f"whole epoch, input and steps, 224 px, {config.precision}, {threads} threads, {clock} clock"
    return [Row(name, ratio.median, "x the paper's", ratio.interval, note=note)]


def plain_step(config: TrialConfig, batch: torch.Tensor) -> Callable[[], object]:
    """float32, contiguous, `Adam` with its defaults, clipping by norm."""
    model = build_model(config.model, config.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optim.lr)
    x = normalise(batch, "paper")

    def step() -> float:
        optimizer.zero_grad()
        recon, mu, logvar, _ = model(x, torch.randn(len(x), config.model.latent_dim))
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
        loss = ((recon - x).square().sum() + kl) / len(x)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        optimizer.step()
        return loss.item()

    return step


def our_step(config: TrialConfig, batch: torch.Tensor) -> Callable[[], object]:
    state = TrainState(config, BatchLoader(batch, len(batch), 0), None)
    return lambda: state.advance(batch, 1.0)


def _mirrored(index: torch.Tensor, size: int) -> torch.Tensor:
    """Indices beyond an edge, folded back as a mirror does."""
    index = index % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--format", choices=["png", "jpeg"], default="png")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    show(input_side(o.files, o.rounds, o.threads, o.clock, o.format), o.json)


if __name__ == "__main__":
    main()
