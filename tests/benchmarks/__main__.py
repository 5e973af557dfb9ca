"""All benchmarks, one table.

    python -m tests.benchmarks [--quick] [--json FILE] [--clock wall]

Each script can be run alone, with more rounds: `python -m tests.benchmarks.NAME --help`. `--quick` takes
fewer rounds and smaller sets. Wall clock needs a machine that does nothing
else; `--clock cpu` counts processor seconds of one thread where it is busy, and leaves out what only a wall
clock can tell. Ratios are medians over rounds in which both sides ran in turn, with the 95 % interval.

Not here because they train for long: `precision`, `pruning`, `trial_costs`, `volatility_scan`,
`border_mapping`; because it compares networks: `fetch_throughput`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from data_io import BatchLoader, prepare
from studies.base import LAPTOP
from sweep.engine.cores import available_cores
from sweep.store.home import Home
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks import (
    harness_overhead,
    paper_pipeline,
    pythae_trainer,
    stability_cost,
    step_profile,
    workers_or_threads,
)
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS
from vae.training.hardware import resolve

BOTH = ("bfloat16", "float32")


def benchmarks(quick: bool, clock: str) -> list[Callable[[], list[Row]]]:
    threads = available_cores() if clock == "wall" else 1
    rounds = 3 if quick else 7
    made: list[Callable[[], list[Row]]] = [
        lambda: pythae_trainer.compare(64, rounds, 2 if quick else 8, threads, clock, BOTH),
        lambda: pythae_trainer.compare(224, rounds, 1, threads, clock, BOTH[:1] if quick else BOTH),
        lambda: paper_pipeline.input_side(4 if quick else 16, rounds, threads, clock, "png"),
        lambda: harness_overhead.measure(rounds, 4 if quick else 24, 1, clock),
        lambda: [stability_row(30 if quick else 200)],
        lambda: step_profile.distance(64, "auto", threads, clock),
        lambda: step_profile.distance(224, "auto", threads, clock),
    ]
    if clock == "wall":
        made.append(lambda: workers_or_threads.measure(1 if quick else 5, 8, 4 if quick else 24))
    return made


def stability_row(rounds: int) -> Row:
    torch.set_num_threads(1)
    settings = {"model.base_channels": 32, "optim.lr_schedule": "constant", "threads": 1, "device": "cpu"}
    config = resolve(with_settings(LAPTOP, settings))
    assert isinstance(config, TrialConfig)
    tiles = prepare(config.data, Home.find().create().cache)
    loader = BatchLoader(tiles.train, config.batch_size, 0, flip=True, rotate=True)
    ratio = stability_cost.compare(config, loader, rounds)
    return Row(
        f"a step with all stability quantities, 64 px, base 32, {config.precision}, 1 thread, cpu clock",
        ratio.median,
        "x without",
        (ratio.low, ratio.high),
        1.03,
        smaller_is_better=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    rows, began = [], time.monotonic()
    for measure in benchmarks(o.quick, o.clock):
        rows += measure()
        torch.set_num_threads(available_cores())
    show(rows, o.json)
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
