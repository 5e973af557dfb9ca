"""Whether another preset for `train` is as good as today's, on a data set on which neither was chosen.

    python -m tests.benchmarks.preset --set optim.parametrisation=mup --set optim.lr=2e-3
    python -m tests.benchmarks.preset --set optim.lr=1e-3 --set-of "bundled scenes" --seeds 1

Twelve cells of depth, length, width, KL weight and batch size; in each the preset, and the preset with what
`--set` changes, trained with the same seeds at 32 px. What is compared is the validation objective; the ratio
is paired by cell and seed, its interval a 95 % t interval over the cells' means.
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch

from data_io import prepare
from studies.stable import STABLE
from sweep.store.intervals import mean_interval
from sweep.study.config import TrialConfig, parse_settings, with_settings
from tests.benchmarks.border_slopes import SETS
from tests.benchmarks.foretold import loader
from vae.training.fit import fit

SHORT, LONG = 600, 1500
QUIET = {"early_stopping_patience": 0, "quality_draws": 0, "picture_every": 1000, "threads": 1}


def cells() -> Mapping[str, tuple[int, Mapping[str, Any]]]:
    """Name -> steps, settings."""

    def depth(value: int) -> dict[str, Any]:
        return {"model.encoder_depth": value, "model.decoder_depth": value}

    found: dict[str, tuple[int, Mapping[str, Any]]] = {
        f"depth {d}, {steps} steps": (steps, depth(d)) for steps in (SHORT, LONG) for d in (2, 4, 6, 8)
    }
    return found | {
        "width 64": (SHORT, depth(4) | {"model.base_channels": 64}),
        "KL weight 4": (SHORT, depth(4) | {"objective.kl_weight": 4.0}),
        "batch 8": (SHORT, depth(4) | {"batch_size": 8}),
        "batch 128": (SHORT, depth(4) | {"batch_size": 128}),
    }


def objective(config: TrialConfig, steps: int, cache: Path) -> float:
    """The best validation objective of a run of about so many steps; infinite where it diverged."""
    tiles = prepare(config.data, cache)
    a_epoch = len(loader(config, cache))
    config = with_settings(config, {"epochs": max(1, round(steps / a_epoch))})
    return fit(config, loader(config, cache), tiles.validation).objective


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--set-of", choices=SETS, default="photographs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "foretold_tiles")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    changed = parse_settings(asked.settings)
    base = with_settings(SETS[asked.set_of], {**STABLE, **QUIET})
    means = []
    print("| Cell | Preset | Changed | Ratio |\n| --- | --- | --- | --- |")
    for name, (steps, own) in cells().items():
        pairs = []
        for seed in range(asked.seeds):
            config = with_settings(base, {**own, "seed": seed})
            other = with_settings(config, changed)
            pairs.append([objective(c, steps, asked.cache) for c in (config, other)])
        today, new = np.exp(np.mean(np.log(pairs), axis=0))
        means.append(math.log(new / today) if math.isfinite(today) or math.isfinite(new) else 0.0)
        print(f"| {name} | {today:.1f} | {new:.1f} | {new / today:.3f} |", flush=True)
    interval = mean_interval(means)
    assert interval is not None
    print("ratio over the cells: {:.3f} ({:.3f} to {:.3f})".format(*np.exp(interval)))


if __name__ == "__main__":
    main()
