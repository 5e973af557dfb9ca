"""How far borders of stability lie from what is foretold of them at initialisation.

    python -m tests.benchmarks.foretold                     two seeds of every group: 15 minutes of a core
    python -m tests.benchmarks.foretold --label blowup      the same
    python -m tests.benchmarks.foretold --label useless     whole runs: an hour

The border of one seed: a ladder of 0.2 decades of constant rates, up or down from what is foretold, to the
first run that ends otherwise; runs are followed for 48 steps, or 150 where the head has 4,096 inputs or more,
and for `useless` to the end of a run of `depth_study`, at that study's schedule. So a border is known to 0.1
decades, and one seed's ladder can end in a gap of a ragged border.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import matplotlib
import numpy as np
import torch

from data_io import prepare
from data_io.tiles.loader import BatchLoader
from studies.base import LAPTOP, LAPTOP_32
from sweep.study.config import TrialConfig, with_settings
from vae.model.layout import head_fan_in
from vae.stability.labels import LABELS, LATE_FAN_IN, LATE_STEPS, Label, verdict
from vae.training import foretold
from vae.training.fit import fit
from vae.training.hardware import resolve
from vae.training.state import TrainState

RUNG = 0.2
OUTSIDE = 2
"""The last groups, of which the law does not speak."""
STEPS = 48
RULE = ((2, 4, 16), (4, 4, 16), (8, 4, 16))
FITTED = (*RULE, (2, 4, 64), (4, 2, 16), (4, 2, 4), (4, 3, 32), (4, 3, 8), (8, 2, 16))
FEW = ((4, 4, 16), (4, 2, 16))
# 130 tiles of a portrait, which comes with Matplotlib.
PHOTOGRAPH = with_settings(
    LAPTOP_32,
    {
        "data.source": matplotlib.get_data_path() + "/sample_data/grace_hopper.jpg",
        "data.block_tiles": 2,
        "data.gap": 0,
    },
)


def groups() -> dict[str, list[TrialConfig]]:
    """Name -> configs. The law was fitted on the first, and does not hold for the last two."""
    return {
        "Adam, 32 px (fitted)": [network(*c) for c in FITTED],
        "head_scale=mup": [network(*c, **{"optim.head_scale": "mup"}) for c in (*FEW, (2, 4, 16), (4, 3, 8))],
        "parametrisation=mup": [
            network(*c, **{"optim.parametrisation": "mup"})
            for c in ((2, 4, 8), (2, 4, 64), (8, 4, 16), (4, 2, 16))
        ],
        "64 px": [network(*c, base=LAPTOP) for c in (*RULE, (4, 2, 16))],
        "batch 8": [network(*c, batch_size=8) for c in FEW],
        "batch 128": [network(*c, batch_size=128) for c in FEW],
        "AdamW, decay 0.1": [
            network(*c, **{"optim.optimizer": "adamw", "optim.weight_decay": 0.1}) for c in FEW
        ],
        "a photograph": [network(*c, base=PHOTOGRAPH) for c in (*FEW, (2, 4, 16))],
        "group norm": [network(*c, **{"model.norm": "group"}) for c in FEW],
        "Gaussian likelihood": [network(*c, **{"objective.likelihood": "gaussian"}) for c in FEW],
        "clipped to 10": [network(*c, **{"optim.clip": "norm", "optim.clip_norm": 10.0}) for c in FEW],
        "no KL term": [network(*c, **{"objective.kl_weight": 0.0}) for c in FEW],
        "no norm": [network(*c, **{"model.norm": "none"}) for c in FEW],
    }


def network(
    depth: int, halvings: int, width: int, base: TrialConfig = LAPTOP_32, **settings: object
) -> TrialConfig:
    own = {
        "model.encoder_depth": depth,
        "model.decoder_depth": depth,
        "model.max_downsamples": halvings,
        "model.base_channels": width,
        "optim.lr_schedule": "constant",
        "threads": 1,
        "precision": "float32",
        "epochs": 400,
    }
    return with_settings(base, own | settings)


def loader(config: TrialConfig, cache: Path) -> BatchLoader:
    data = config.data
    return BatchLoader(
        prepare(data, cache).train, config.batch_size, config.seed, flip=data.flip, rotate=data.rotate
    )


def breaks(config: TrialConfig, cache: Path, x: float, label: Label = "nonfinite") -> bool:
    config = with_settings(config, {"optim.lr": 10.0**x})
    if label == "useless":
        return is_useless(config, cache)
    state = TrainState(resolve(config), loader(config, cache), config.optim.clip_norm)
    steps = LATE_STEPS if head_fan_in(config.model) >= LATE_FAN_IN else STEPS
    while True:
        for batch in state.source.epoch():
            # As in a run whose KL weight comes up over 450 steps.
            state.advance(batch, config.objective.kl_weight * min(1.0, state.step / 450))
            seen = state.labels.observation()
            crossed = seen.nonfinite_step if label == "nonfinite" else seen.blowup_step
            if crossed is not None or state.step >= steps:
                return crossed is not None


def is_useless(config: TrialConfig, cache: Path) -> bool:
    """A probe, which ends as soon as that is known."""
    whole = {"epochs": LAPTOP_32.epochs, "optim.lr_schedule": LAPTOP_32.optim.lr_schedule}
    config = with_settings(config, {**whole, "probe.label": "useless"})
    tiles = prepare(config.data, cache)
    crossed = verdict("useless", fit(config, loader(config, cache), tiles.validation).observation)
    assert crossed is not None  # it was followed to its end
    return crossed


def border(config: TrialConfig, cache: Path, start: float, label: Label = "nonfinite") -> float:
    x = round(start / RUNG) * RUNG
    first = breaks(config, cache, x, label)
    way = -RUNG if first else RUNG
    while breaks(config, cache, x + way, label) == first:
        x += way
    return x + way / 2


def errors(config: TrialConfig, cache: Path, seeds: int, label: Label) -> Iterator[float]:
    for seed in range(seeds):
        of_seed = with_settings(config, {"seed": seed})
        found = foretold.foretell(of_seed, loader(of_seed, cache))
        x = math.log10(found.borders[label].lr)
        yield border(of_seed, cache, x, label) - x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label", choices=LABELS, default="nonfinite")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--groups", nargs="*", choices=groups(), default=list(groups()), metavar="GROUP")
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "foretold_tiles")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    foretold.why_not = lambda config: None  # what it refuses is tried, too
    held_out: list[float] = []
    print("| Group | Borders | Border less foretold (decades) | Mean error |\n| --- | --- | --- | --- |")
    for number, (name, configs) in enumerate(groups().items()):
        if name not in asked.groups:
            continue
        off = [error for config in configs for error in errors(config, asked.cache, asked.seeds, asked.label)]
        held_out += off if 0 < number < len(groups()) - OUTSIDE else []
        print(f"| {name} | {len(off)} | {np.mean(off):+.2f} | {np.abs(off).mean():.2f} |", flush=True)
    if not held_out:
        return
    low, high = np.quantile(held_out, [0.05, 0.95])
    mean = np.abs(held_out).mean()
    spread = f"mean error {mean:.2f}, 90 % from {low:+.2f} to {high:+.2f}"
    print(f"held out, without the last two groups: {len(held_out)} borders, {spread}")


if __name__ == "__main__":
    main()
