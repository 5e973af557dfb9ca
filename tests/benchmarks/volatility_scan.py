"""Which quantity tells that a run is near the border of stability?

    python -m tests.benchmarks.volatility_scan [--depths 2 4 6] [--epochs 10] [--json FILE]
    python -m tests.benchmarks.volatility_scan --merge FILE FILE ...

Laptop base, bundled scenes, depths 2, 4, 6, eight constant learning rates over 2.8 decades, three seeds.
The nonfinite border of a depth is where half of its runs are nonfinite: the mean over seeds of the middle
(in decades) between the largest rate that stayed finite below the first that did not, and that one. Runs
that stayed finite are `near` within 0.75 decades below it and `safe` from 1.25 on. Printed is the area
under the ROC curve of every quantity for near against safe, pooled over depths, with a 95 % bootstrap
interval over runs (too narrow, since the three seeds of a setting are much alike): 0.5 tells nothing, 1 is
perfect, below 0.5 the quantity falls towards the border. `vae/stability/monitor.py` has the table. The
learning rate itself is in the table as what a quantity has to be set against: within a depth it is perfect
by construction, and where the borders of the depths lie close together it is across them too.

10 epochs are 140 steps, so that the window of 128 steps is full. Scans of single depths can run side by
side; `--merge` reads what they wrote.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from sweep.store.home import Home
from sweep.study.config import with_settings
from vae.stability.monitor import Outcome
from vae.training.fit import fit
from vae.training.hooks import Hooks

DEPTHS = (2, 4, 6)
RATES = [10**x for x in (-4.0, -3.6, -3.2, -2.8, -2.4, -2.0, -1.6, -1.2)]
SEEDS = (0, 1, 2)
NEAR, SAFE = 0.75, 1.25
LAST_STEPS = 64
MEDIANS = ("grad_norm", "update_ratio", "adam_rms", "loss", "max_logvar")
EDGES = ("edge_ratio", "edge_ratio_line_search", "preconditioned_sharpness")
BOOTSTRAP = 2000

Row = dict[str, Any]


class Area(NamedTuple):
    """Under the ROC curve, with its interval, from `near` and `safe` runs."""

    value: float
    low: float
    high: float
    near: int
    safe: int


class Watched(Hooks):
    """Keeps the records of a run."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)

    def on_epoch(self, record: dict[str, float]) -> None:
        self.epochs.append(record)

    def median(self, name: str) -> float:
        """Over the last steps of what has no summary of its own."""
        values = [r[name] for r in self.steps[-LAST_STEPS:] if math.isfinite(r[name])]
        return float(np.median(values)) if values else math.nan


def run(depth: int, lr: float, seed: int, epochs: int, tiles: TileSet) -> Row:
    config = with_settings(
        LAPTOP,
        {
            "model.encoder_depth": depth,
            "model.decoder_depth": depth,
            "optim.lr": lr,
            "optim.lr_schedule": "constant",
            "epochs": epochs,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "curvature_every": epochs,
        },
    )
    loader = BatchLoader(tiles.train, config.batch_size, seed, flip=True, rotate=True)
    watched = Watched()
    result = fit(config, loader, tiles.validation, watched)
    summary = {
        k.removeprefix("stability/"): v for k, v in result.summary.items() if k.startswith("stability/")
    }
    last = watched.epochs[-1] if watched.epochs else {}
    quantities = summary | {f"median {name}": watched.median(name) for name in MEDIANS}
    quantities |= {name: last.get(f"stability/{name}", math.nan) for name in EDGES} | {"lr": lr}
    return {
        "depth": depth,
        "lr": lr,
        "seed": seed,
        "steps": result.steps,
        "outcome": str(result.outcome),
        "quantities": quantities,
    }


def border(runs: list[Row]) -> float:
    """log10 of the learning rate; the largest rate plus half a step where a seed never failed."""
    edges = []
    for seed in SEEDS:
        mine = sorted((r["lr"], r["outcome"] == Outcome.NONFINITE) for r in runs if r["seed"] == seed)
        first = next((i for i, (_, failed) in enumerate(mine) if failed), len(mine))
        low = math.log10(mine[max(first - 1, 0)][0])
        high = math.log10(mine[first][0]) if first < len(mine) else low + 0.4
        edges.append((low + high) / 2)
    return sum(edges) / len(edges)


def areas(near: list[Row], safe: list[Row]) -> dict[str, Area]:
    """By quantity, from the runs in which it is finite; those that are the same in all runs are left out."""
    table = {}
    for name in near[0]["quantities"]:
        x, y = (np.array([r["quantities"][name] for r in rows]) for rows in (near, safe))
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        if len(x) and len(y) and len(np.unique(np.concatenate([x, y]))) > 1:
            rng = np.random.default_rng(0)
            draws = [_area(rng.choice(x, len(x)), rng.choice(y, len(y))) for _ in range(BOOTSTRAP)]
            low, high = np.percentile(draws, (2.5, 97.5))
            table[name] = Area(_area(x, y), float(low), float(high), len(x), len(y))
    return table


def _area(near: np.ndarray, safe: np.ndarray) -> float:
    labels = np.repeat([1, 0], [len(near), len(safe)])
    return float(roc_auc_score(labels, np.concatenate([near, safe])))


def report(runs: list[Row]) -> None:
    near, safe = [], []
    for depth in sorted({r["depth"] for r in runs}):
        mine = [r for r in runs if r["depth"] == depth]
        edge = border(mine)
        print(f"depth {depth}: nonfinite border at lr = 10^{edge:.2f}")
        finite = [r for r in mine if r["outcome"] != Outcome.NONFINITE]
        near += [r for r in finite if 0 < edge - math.log10(r["lr"]) <= NEAR]
        safe += [r for r in finite if edge - math.log10(r["lr"]) >= SAFE]
    print(f"{len(runs)} runs, {len(near)} near, {len(safe)} safe")
    print("\n| quantity | area under ROC | near, safe |\n| --- | --- | --- |")
    for name, a in sorted(areas(near, safe).items(), key=lambda item: -item[1].value):
        print(f"| {name} | {a.value:.2f} [{a.low:.2f}, {a.high:.2f}] | {a.near}, {a.safe} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the runs here")
    parser.add_argument("--merge", type=Path, nargs="+", help="report on the runs of these files")
    options = parser.parse_args()
    if options.merge:
        runs = [row for path in options.merge for row in json.loads(path.read_text())]
    else:
        torch.set_num_threads(options.threads)
        tiles = prepare(LAPTOP.data, Home.find().create().cache)
        runs = []
        for depth in options.depths:
            for lr in RATES:
                runs += [run(depth, lr, seed, options.epochs, tiles) for seed in SEEDS]
                outcomes = [r["outcome"] for r in runs[-len(SEEDS) :]]
                print(f"depth {depth}, lr 10^{math.log10(lr):.1f}: {', '.join(outcomes)}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps(runs, indent=1))
    report(runs)


if __name__ == "__main__":
    main()
