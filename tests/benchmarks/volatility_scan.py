"""Which quantity tells that a run is near the border of stability?

    python -m tests.benchmarks.volatility_scan [--json FILE]           all parts: 7 minutes of a core
    python -m tests.benchmarks.volatility_scan --part "held-out data"  one of them
    python -m tests.benchmarks.volatility_scan --merge FILE FILE ...   report on the runs of these files

Laptop base at 32 px, ten constant learning rates over 3.6 decades, three seeds, 140 steps, so that the
window of 128 steps is full. Three parts: thresholds are chosen on depths 3 and 5 of the bundled scenes, and
judged on depth 2, whose latent head has the most inputs, and on photographs of a temple and a flower (they
come with scikit-learn) at depth 4. The choice saw neither.

The nonfinite border of a depth and data set is where half of its runs are nonfinite: the mean over seeds of
the middle (in decades) between the largest rate that stayed finite below the first that did not, and that
one. Runs that stayed finite are `near` within 0.75 decades below it and `safe` from 1.25 on. Printed for
every quantity: the area under the ROC curve for near against safe, with a 95 % bootstrap interval over runs
(too narrow, since the three seeds of a setting are much alike; 0.5 tells nothing, below 0.5 the quantity
falls towards the border); the threshold of best balanced accuracy on the part it is chosen on; and the shares
of near runs that it catches and of safe ones that it gives a false alarm for, on the other parts. What is
infinite counts as beyond every threshold, what was not measured is left out.

Two rows are no measurements: the learning rate, which is perfect within a depth by construction, and its
ratio to the border that is foretold at initialisation (`vae.training.foretold`), which is what a quantity has
to be set against.
"""

import argparse
import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP_32
from sweep.store.home import Home
from sweep.study.config import TrialConfig, with_settings
from vae.stability.monitor import Outcome
from vae.training.fit import fit
from vae.training.foretold import foretell
from vae.training.hooks import Hooks, RunInfo

SCENES = LAPTOP_32
PHOTOGRAPHS = with_settings(
    LAPTOP_32,
    {
        "data.source": str(Path(sklearn.__file__).parent / "datasets" / "images"),
        "data.include": "*.jpg",
        "data.block_tiles": 2,
        "data.gap": 0,
    },
)
CHOSEN_ON = "chosen on"
PARTS: dict[str, tuple[TrialConfig, tuple[int, ...]]] = {
    CHOSEN_ON: (SCENES, (3, 5)),
    "held-out depth": (SCENES, (2,)),
    "held-out data": (PHOTOGRAPHS, (4,)),
}
RATES = [10**x for x in (-4.4, -4.0, -3.6, -3.2, -2.8, -2.4, -2.0, -1.6, -1.2, -0.8)]
SEEDS = (0, 1, 2)
STEPS = 140
NEAR, SAFE = 0.75, 1.25
LAST_STEPS = 64
MEDIANS = ("grad_norm", "update_ratio", "stable_adamw_rms", "loss", "max_logvar")
CURVATURE = (
    "edge_ratio",
    "edge_ratio_line_search",
    "critical_sharpness",
    "preconditioned_sharpness",
    "batch_sharpness",
    "alpha",
    "gradient_snr",
)
BOOTSTRAP = 1000
BEYOND = 1e300

Row = dict[str, Any]


class Area(NamedTuple):
    """Under the ROC curve, with its interval, from `near` and `safe` runs."""

    value: float
    low: float
    high: float
    near: int
    safe: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Threshold(NamedTuple):
    """near where the quantity lies above it, or, if it falls towards the border, below."""

    value: float
    rises: bool

    def warns(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values > self.value if self.rises else values < self.value)

    def __str__(self) -> str:
        return f"{'>' if self.rises else '<'} {self.value:.3g}"


class Watched(Hooks):
    """Keeps the records of a run."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.sharpness_at_init = math.nan

    def on_start(self, info: RunInfo) -> None:
        self.sharpness_at_init = math.nan if info.sharpness_at_init is None else info.sharpness_at_init

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)

    def on_epoch(self, record: dict[str, float]) -> None:
        self.epochs.append(record)

    def last(self, name: str) -> list[float]:
        return [r[name] for r in self.steps[-LAST_STEPS:] if math.isfinite(r[name])]


def run(part: str, base: TrialConfig, depth: int, lr: float, seed: int, tiles: TileSet) -> Row:
    # As many epochs as come to about STEPS, of so many tiles that they do.
    epochs = max(3, math.ceil(STEPS / (len(tiles.train) // base.batch_size)))
    count = min(len(tiles.train), base.batch_size * math.ceil(STEPS / epochs))
    train = tiles.train[:: len(tiles.train) // count][:count]
    config = with_settings(
        base,
        {
            "model.encoder_depth": depth,
            "model.decoder_depth": depth,
            "optim.lr": lr,
            "optim.lr_schedule": "constant",
            "epochs": epochs,
            "early_stopping_patience": 0,
            "quality_draws": 0,
            "picture_every": 1000,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "curvature_every": epochs,
        },
    )
    loader = BatchLoader(train, config.batch_size, seed, flip=True, rotate=True)
    foretold = foretell(config, loader).lr
    watched = Watched()
    result = fit(config, loader, tiles.validation, watched)
    summary = {
        k.removeprefix("stability/"): v for k, v in result.summary.items() if k.startswith("stability/")
    }
    last = watched.epochs[-1] if watched.epochs else {}
    quantities = summary | {
        f"{name}, median": float(np.median(watched.last(name) or math.nan)) for name in MEDIANS
    }
    quantities["stable_adamw_rms, largest"] = max(watched.last("stable_adamw_rms"), default=math.nan)
    quantities |= {name: last.get(f"stability/{name}", math.nan) for name in CURVATURE}
    quantities |= {
        "lr * sharpness at initialisation": lr * watched.sharpness_at_init,
        "lr": lr,
        "lr / foretold border": lr / foretold,
    }
    return {
        "part": part,
        "depth": depth,
        "lr": lr,
        "seed": seed,
        "steps": result.steps,
        "outcome": str(result.outcome),
        "quantities": quantities,
    }


def border(runs: Sequence[Row]) -> float:
    """log10 of the learning rate; the largest rate plus half a step where a seed never failed."""
    edges = []
    for seed in SEEDS:
        mine = sorted((r["lr"], r["outcome"] == Outcome.NONFINITE) for r in runs if r["seed"] == seed)
        first = next((i for i, (_, failed) in enumerate(mine) if failed), len(mine))
        low = math.log10(mine[max(first - 1, 0)][0])
        high = math.log10(mine[first][0]) if first < len(mine) else low + 0.4
        edges.append((low + high) / 2)
    return sum(edges) / len(edges)


def near_and_safe(runs: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    near, safe = [], []
    for depth in sorted({r["depth"] for r in runs}):
        mine = [r for r in runs if r["depth"] == depth]
        edge = border(mine)
        print(f"  depth {depth}: nonfinite border at lr = 10^{edge:.2f}")
        finite = [r for r in mine if r["outcome"] != Outcome.NONFINITE]
        near += [r for r in finite if 0 < edge - math.log10(r["lr"]) <= NEAR]
        safe += [r for r in finite if edge - math.log10(r["lr"]) >= SAFE]
    print(f"  {len(runs)} runs, {len(near)} near, {len(safe)} safe")
    return near, safe


def values(name: str, rows: Sequence[Row]) -> np.ndarray:
    found = np.array([r["quantities"][name] for r in rows], dtype=float)
    return np.clip(found[~np.isnan(found)], -BEYOND, BEYOND)


def area(near: np.ndarray, safe: np.ndarray) -> Area:
    rng = np.random.default_rng(0)
    draws = [_area(rng.choice(near, len(near)), rng.choice(safe, len(safe))) for _ in range(BOOTSTRAP)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return Area(_area(near, safe), float(low), float(high), len(near), len(safe))


def _area(near: np.ndarray, safe: np.ndarray) -> float:
    """Share of pairs in which the near run has more, ties half: the area under the ROC curve."""
    above = near[:, None] > safe
    return float((above + 0.5 * (near[:, None] == safe)).mean())


def threshold(near: np.ndarray, safe: np.ndarray) -> Threshold:
    """Of the largest balanced accuracy; of equal ones, the middle of those that are next to each other."""
    rises = _area(near, safe) >= 0.5
    seen = np.unique(np.concatenate([near, safe]))
    cuts = [Threshold(float(a / 2 + b / 2), rises) for a, b in pairwise(seen)]
    scores = [balanced_accuracy(cut, near, safe) for cut in cuts]
    best = [k for k, score in enumerate(scores) if score == max(scores)]
    return cuts[best[len(best) // 2]]


def balanced_accuracy(cut: Threshold, near: np.ndarray, safe: np.ndarray) -> float:
    return float(cut.warns(near).mean() + (~cut.warns(safe)).mean()) / 2


def report(runs: Sequence[Row]) -> None:
    parts = {}
    for part in PARTS:
        mine = [r for r in runs if r["part"] == part]
        print(f"{part}:" if mine else f"{part}: no runs")
        if mine:
            parts[part] = near_and_safe(mine)
    if CHOSEN_ON not in parts:
        return
    held = [part for part in parts if part != CHOSEN_ON]
    cells = [f"{part}: area | caught, false alarms" for part in held]
    print("\n| " + " | ".join(["quantity", "area, chosen on", "threshold", *cells]) + " |")
    print("| --- " * (3 + 2 * len(held)) + "|")
    lines: list[tuple[float, str]] = []
    for name in parts[CHOSEN_ON][0][0]["quantities"]:
        near, safe = (values(name, rows) for rows in parts[CHOSEN_ON])
        if not len(near) or not len(safe) or len(np.unique(np.concatenate([near, safe]))) < 2:
            continue
        cut = threshold(near, safe)
        shown, scores = [name, str(area(near, safe)), str(cut)], []
        for part in held:
            near, safe = (values(name, rows) for rows in parts[part])
            caught, false = cut.warns(near).mean(), cut.warns(safe).mean()
            shown += [str(area(near, safe)), f"{caught:.2f}, {false:.2f}"]
            scores.append(balanced_accuracy(cut, near, safe))
        lines.append((min(scores, default=0.0), f"| {' | '.join(shown)} |"))
    # The worst of the held-out parts first decides.
    for _, line in sorted(lines, key=lambda row: -row[0]):
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the runs here")
    parser.add_argument("--merge", type=Path, nargs="+", help="report on the runs of these files")
    options = parser.parse_args()
    if options.merge:
        report([row for path in options.merge for row in json.loads(path.read_text())])
        return
    torch.set_num_threads(options.threads)
    runs: list[Row] = []
    for part in [options.part] if options.part else PARTS:
        base, depths = PARTS[part]
        tiles = prepare(base.data, Home.find().create().cache)
        for depth in depths:
            for lr in RATES:
                runs += [run(part, base, depth, lr, seed, tiles) for seed in SEEDS]
                outcomes = [r["outcome"] for r in runs[-len(SEEDS) :]]
                print(f"{part}, depth {depth}, lr 10^{math.log10(lr):.1f}: {', '.join(outcomes)}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps(runs, indent=1))
    report(runs)


if __name__ == "__main__":
    main()
