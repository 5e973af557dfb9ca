"""How long a user waits for `python -m sweep run`: to its first line, and until the first step is trained.

    python -m tests.benchmarks.startup [--rounds 5]

The laptop depth_study with its usual workers, in a home that has its tiles and stores (a first run makes
them, and is not counted). The first step has ended when the first checkpoint is there, which this run writes
after every step; all workers train when there are as many checkpoints as workers.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sweep.engine.cores import available_cores
from tests.benchmarks.table import Row, show

FIRST_LINE_S, FIRST_STEP_S = 1.0, 6.0
COMMAND = ("run", "depth_study", "--scale", "laptop", "--device", "cpu", "--set", "checkpoint_seconds=0.0001")
LIMIT_S = 300.0


def start_once(home: Path, name: str) -> tuple[float, float, float]:
    """Seconds to the first line and checkpoint of a new study, and to a checkpoint by every worker."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", *COMMAND, "--name", name],
        env=os.environ | {"SWEEP_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    first_line = time.monotonic() - began
    seen: list[float] = []
    while len(seen) < available_cores():
        if process.poll() is not None or time.monotonic() - began > LIMIT_S:
            raise RuntimeError("no trial began")
        time.sleep(0.005)
        count = len(list(home.glob(f"checkpoints/{name}/*/state.pt")))
        seen += [time.monotonic() - began] * (count - len(seen))
    process.terminate()
    process.communicate()
    return first_line, seen[0], seen[-1]


def measure(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        start_once(home, "first")
        # Each a study of its own: one that went on would only resume what was left.
        lines, steps, all_steps = zip(*(start_once(home, f"round{i}") for i in range(rounds)), strict=True)
    return [
        _row("seconds to the first line of `run`", lines, FIRST_LINE_S),
        _row("seconds to its first training step", steps, FIRST_STEP_S),
        _row("seconds until all its workers train", all_steps, None),
    ]


def _row(name: str, seconds: Sequence[float], target: float | None) -> Row:
    spread = min(seconds), max(seconds)
    return Row(name, statistics.median(seconds), "s", spread, target, smaller_is_better=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
