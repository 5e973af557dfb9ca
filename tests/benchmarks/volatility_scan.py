"""Which quantity tells that a run is near the border of stability?

    python -m tests.benchmarks.volatility_scan [--epochs 10] [--json FILE]

Laptop base, bundled scenes, depths 2, 4, 6, eight constant learning rates over 2.8 decades, three seeds.
The nonfinite border of a depth is where half of its runs are nonfinite: the mean over seeds of the middle
(in decades) between the largest rate that stayed finite below the first that did not, and that one. Runs
that stayed finite are `near` within 0.75 decades below it and `safe` from 1.25 on. Printed is the area
under the ROC curve of every quantity for near against safe, pooled over depths: 0.5 tells nothing, 1 is
perfect, below 0.5 the quantity falls towards the border.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from sweep.config import with_settings
from sweep.home import Home
from vae.fit import fit
from vae.hooks import Hooks
from vae.stability import Outcome

DEPTHS = (2, 4, 6)
RATES = [10**x for x in (-4.0, -3.6, -3.2, -2.8, -2.4, -2.0, -1.6, -1.2)]
SEEDS = (0, 1, 2)
NEAR, SAFE = 0.75, 1.25
LAST_STEPS = 64


class Medians(Hooks):
    """Medians over the last steps of what has no summary of its own."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)

    def of(self, name: str) -> float:
        values = [r[name] for r in self.steps[-LAST_STEPS:] if math.isfinite(r[name])]
        return float(torch.tensor(values).median()) if values else math.nan


def run(depth: int, lr: float, seed: int, epochs: int, tiles: TileSet) -> dict[str, Any]:
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
    hooks = Medians()
    edge: dict[str, float] = {}

    def on_epoch(record: dict[str, float]) -> None:
        edge.update({k: v for k, v in record.items() if "edge_ratio" in k or "sharpness" in k})

    hooks.on_epoch = on_epoch  # type: ignore[method-assign]
    result = fit(config, loader, tiles.validation, hooks)
    quantities = {
        k.removeprefix("stability/"): v for k, v in (result.summary | edge).items() if "stability" in k
    }
    quantities |= {name: hooks.of(name) for name in ("grad_norm", "update_ratio", "adam_rms", "loss")}
    return {
        "depth": depth,
        "lr": lr,
        "seed": seed,
        "nonfinite": result.outcome is Outcome.NONFINITE,
        "outcome": str(result.outcome),
        "quantities": quantities,
    }


def border(runs: list[dict[str, Any]]) -> float:
    """log10 of the learning rate; the largest rate plus half a step where a seed never failed."""
    edges = []
    for seed in SEEDS:
        rates = sorted((r["lr"], r["nonfinite"]) for r in runs if r["seed"] == seed)
        first = next((i for i, (_, failed) in enumerate(rates) if failed), len(rates))
        low = math.log10(rates[max(first - 1, 0)][0])
        high = math.log10(rates[first][0]) if first < len(rates) else low + 0.4
        edges.append((low + high) / 2)
    return sum(edges) / len(edges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tiles = prepare(LAPTOP.data, Home.find().create().cache)
    runs = [run(depth, lr, seed, options.epochs, tiles) for depth in DEPTHS for lr in RATES for seed in SEEDS]
    labelled = []
    for depth in DEPTHS:
        mine = [r for r in runs if r["depth"] == depth]
        edge = border(mine)
        print(f"depth {depth}: nonfinite border at lr = 10^{edge:.2f}")
        for r in mine:
            distance = edge - math.log10(r["lr"])
            if not r["nonfinite"] and distance > 0 and (distance <= NEAR or distance >= SAFE):
                labelled.append((distance <= NEAR, r["quantities"]))
    near = sum(label for label, _ in labelled)
    print(f"{len(runs)} runs, {near} near, {len(labelled) - near} safe")
    print("\n| quantity | AUC | runs |\n| --- | --- | --- |")
    table = {}
    for name in sorted({name for _, quantities in labelled for name in quantities}):
        pairs = [(label, q[name]) for label, q in labelled if math.isfinite(q.get(name, math.nan))]
        if len({label for label, _ in pairs}) == 2:
            table[name] = (float(roc_auc_score(*zip(*pairs, strict=True))), len(pairs))
    for name, (area, count) in sorted(table.items(), key=lambda item: -item[1][0]):
        print(f"| {name} | {area:.2f} | {count} |")
    if options.json:
        options.json.write_text(json.dumps({"runs": runs, "auc": table}, indent=1))


if __name__ == "__main__":
    main()
