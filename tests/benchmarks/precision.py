"""bfloat16 against float32, paired by depth and seed: the objective, and where the border of stability lies.

    python -m tests.benchmarks.precision [--depths 2 4 8] [--seeds 5] [--part both] [--json FILE]

Laptop base, bundled scenes, a rate that decays (the base's `wsd`). Objective: a whole run of each; the mean
over seeds of bfloat16 less float32, beside the standard deviation over seeds. Border: of each label the
learning rate where probes (`vae.stability.labels`) begin to cross. A border has gaps, and a search by
halving ends in any of them; so float32's is found in that way, roughly, and then both precisions are probed
at the same rates, 0.1 decades apart, within 0.75 decades of it: the more of them cross, the lower the
border. The mean shift in decades with its 95 % interval (Student's t, all pairs). Minutes of training;
finished runs are kept in the JSON file and not run again.
"""

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from scipy.stats import t as student

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from sweep.store.home import Home
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.table import Row, show
from vae.model.layout import head_fan_in
from vae.stability.labels import Label, late_horizon, probe_horizon, verdict
from vae.training.fit import fit
from vae.training.hardware import resolve

PRECISIONS = ("float32", "bfloat16")
BORDERS: tuple[Label, ...] = ("blowup", "nonfinite")
LOWEST, HIGHEST, ROUGH = -4.0, 1.0, 0.1
WINDOW, SPACING = 0.75, 0.1


def configured(depth: int, seed: int, precision: str, **settings: Any) -> TrialConfig:
    base = {
        "model.encoder_depth": depth,
        "model.decoder_depth": depth,
        "seed": seed,
        "precision": precision,
        "threads": 1,
        "device": "cpu",
        "quality_draws": 0,
    }
    config = resolve(with_settings(LAPTOP, base | settings))
    assert isinstance(config, TrialConfig)
    return config


def loader(config: TrialConfig, tiles: TileSet) -> BatchLoader:
    return BatchLoader(
        tiles.train, config.batch_size, config.seed, flip=config.data.flip, rotate=config.data.rotate
    )


def objective(depth: int, seed: int, precision: str, tiles: TileSet) -> float:
    config = configured(depth, seed, precision)
    return fit(config, loader(config, tiles), tiles.validation).objective


class Border:
    """Where probes of one label begin to cross, at one depth and seed."""

    def __init__(self, label: Label, depth: int, seed: int, tiles: TileSet) -> None:
        self.label, self.depth, self.seed, self.tiles = label, depth, seed, tiles
        fan_in = head_fan_in(configured(depth, seed, "float32").model)
        self.horizon = late_horizon(label, fan_in) or probe_horizon(label)

    def crosses(self, log_lr: float, precision: str) -> bool:
        settings = {"optim.lr": 10.0**log_lr, "probe.label": self.label, "probe.horizon": self.horizon}
        config = configured(self.depth, self.seed, precision, **settings)
        seen = fit(config, loader(config, self.tiles), self.tiles.validation).observation
        return bool(verdict(self.label, seen, self.horizon))

    def roughly(self, precision: str) -> float:
        """Logarithm (base 10) of the rate: the middle of the last interval of a search by halving."""
        low, high = LOWEST, HIGHEST
        while high - low > ROUGH:
            middle = (low + high) / 2
            low, high = (low, middle) if self.crosses(middle, precision) else (middle, high)
        return (low + high) / 2

    def near(self, centre: float, precision: str) -> float:
        """The same, from the share of the rates within the window that cross; the window's ends at most."""
        count = round(2 * WINDOW / SPACING)
        rates = [centre - WINDOW + SPACING * (i + 0.5) for i in range(count)]
        return centre + WINDOW - SPACING * sum(self.crosses(rate, precision) for rate in rates)


def run_all(
    depths: Sequence[int], seeds: int, part: str, tiles: TileSet, path: Path | None
) -> dict[str, float]:
    """Figures by `kind/depth/seed/precision`; written after each, so that a run that ends early goes on."""
    found: dict[str, float] = json.loads(path.read_text())["figures"] if path and path.exists() else {}
    kinds = (["objective"] if part != "border" else []) + (list(BORDERS) if part != "objective" else [])

    def once(key: str, work: Callable[[], float]) -> float:
        if key not in found:
            found[key] = work()
            if path:
                path.write_text(json.dumps({"figures": found}, indent=1))
        return found[key]

    for kind, seed, depth in itertools.product(kinds, range(seeds), depths):
        key = f"{kind}/{depth}/{seed}"
        if kind == "objective":
            for precision in PRECISIONS:
                once(f"{key}/{precision}", partial(objective, depth, seed, precision, tiles))
        else:
            border = Border(cast(Label, kind), depth, seed, tiles)
            centre = once(f"{key}/rough", partial(border.roughly, "float32"))
            for precision in PRECISIONS:
                once(f"{key}/{precision}", partial(border.near, centre, precision))
    return found


def rows_of(found: dict[str, float]) -> list[Row]:
    rows = []
    kinds = sorted({key.split("/")[0] for key in found}, reverse=True)
    for kind in kinds:
        pairs: dict[int, list[tuple[float, float]]] = {}
        for key, value in found.items():
            of, depth, seed, precision = key.split("/")
            other = f"{of}/{depth}/{seed}/bfloat16"
            if of == kind and precision == "float32" and other in found:
                pairs.setdefault(int(depth), []).append((value, found[other]))
        if kind == "objective":
            rows += [_objective_row(depth, pairs[depth]) for depth in sorted(pairs)]
        elif pairs:
            rows.append(_border_row(kind, pairs))
    return rows


def _objective_row(depth: int, pairs: list[tuple[float, float]]) -> Row:
    difference = statistics.fmean(b - a for a, b in pairs)
    spread = statistics.stdev(a for a, _ in pairs) if len(pairs) > 1 else math.nan
    note = f"{difference:+.2f} of {statistics.fmean(a for a, _ in pairs):.1f}, std over seeds {spread:.2f}"
    return Row(
        f"bfloat16 objective less float32's, depth {depth}, {len(pairs)} seeds",
        abs(difference) / spread,
        "std over seeds",
        target=1.0,
        smaller_is_better=True,
        note=note,
    )


def _border_row(label: str, pairs: dict[int, list[tuple[float, float]]]) -> Row:
    shifts = [b - a for values in pairs.values() for a, b in values]
    mean, spread = statistics.fmean(shifts), statistics.stdev(shifts)
    half = float(student.ppf(0.975, len(shifts) - 1)) * spread / math.sqrt(len(shifts))
    each = ", ".join(f"depth {d}: {statistics.fmean(b - a for a, b in pairs[d]):+.3f}" for d in sorted(pairs))
    return Row(
        f"bfloat16 shift of the {label} border, {len(shifts)} pairs: farthest end of its 95 % interval",
        max(abs(mean - half), abs(mean + half)),
        "decades",
        target=0.1,
        smaller_is_better=True,
        note=f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]; {each}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", choices=["objective", "border", "both"], default="both")
    parser.add_argument("--json", type=Path, help="kept figures; gone on from where it exists")
    o = parser.parse_args()
    torch.set_num_threads(1)
    tiles = prepare(LAPTOP.data, Home.find().create().cache)
    show(rows_of(run_all(o.depths, o.seeds, o.part, tiles, o.json)))


if __name__ == "__main__":
    main()
