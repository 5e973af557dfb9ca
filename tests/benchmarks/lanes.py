"""Whole trials on one device: how many an hour, by workers that share it and lanes of each.

    python -m tests.benchmarks.lanes [--pairs 1x1 1x8 1x16 1x32 4x8] [--trials 64] [--device cuda:0]

A pair is workers x lanes. Each is the whole command `sweep run` in one home (start-up, trials, end), wall
clock: so only on a machine that does nothing else, and with several trials a lane. Laptop base, the same
seeds, runs recorded in files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.table import Row, show
from tests.benchmarks.workers_or_threads import STUDY


def trials_per_hour(folder: Path, workers: int, lanes: int, trials: int, epochs: int, device: str) -> float:
    study = folder / "fixed_set.py"
    study.write_text(STUDY % trials)
    environment = os.environ | {"SWEEP_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "sweep", "run", str(study), "--scale", "laptop", "--device", device]
    command += ["--workers", str(workers), "--lanes", str(lanes), "--name", f"of_{workers}_{lanes}_{trials}"]
    command += ["--set", f"epochs={epochs}", "--tracker", "files", "--json"]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"sweep run ended with {done.returncode}: {done.stderr[-2000:]}")
    return trials * 3600 / (time.monotonic() - began)


def measure(pairs: list[tuple[int, int]], trials: int, epochs: int, device: str) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        trials_per_hour(Path(name), 1, 1, 1, 1, device)  # cuts the tiles and makes the stores
        for workers, lanes in pairs:
            rate = trials_per_hour(Path(name), workers, lanes, trials, epochs, device)
            title = f"{trials} trials of {epochs} epochs on {device}: {workers} workers of {lanes} lanes"
            rows.append(Row(title, rate, "trials an hour"))
    return rows


def _pair(text: str) -> tuple[int, int]:
    workers, _, lanes = text.partition("x")
    return int(workers), int(lanes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    default = [(1, 1), (1, 8), (1, 16), (1, 32), (4, 8)]
    parser.add_argument("--pairs", type=_pair, nargs="+", default=default)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    show(measure(o.pairs, o.trials, o.epochs, o.device), o.json)


if __name__ == "__main__":
    main()
