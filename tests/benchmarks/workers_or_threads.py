"""A fixed set of 8 trials: two workers with one thread each against one worker with two threads.

    python -m tests.benchmarks.workers_or_threads [--rounds 5] [--epochs 24] [--trials 8]

Each is the whole command `sweep run` in a fresh home (start-up, trials, report), wall clock: so only on a
machine that does nothing else. Laptop base, the same seeds. `sweep run` without --workers takes one worker a
core with one thread each, because of this.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sweep.engine.cores import available_cores
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, middle, ratios, take_turns

STUDY = """
from studies.base import LAPTOP
from sweep.study import FloatAxis, Plan, Study

AXIS = FloatAxis(path="optim.lr", low=1e-3, high=1e-3)
STUDY = Study(name="fixed_set", summary="The same trials whoever runs them.",
              plans={"laptop": Plan(base=LAPTOP, axes=(AXIS,), trials=%d)})
"""


def run_study(folder: Path, name: str, workers: int, trials: int, epochs: int) -> None:
    study = folder / "fixed_set.py"
    study.write_text(STUDY % trials)
    # One home a side: its tiles are cut in the unmeasured round; a name of its own makes a study new.
    environment = os.environ | {"SWEEP_HOME": str(folder / f"home{workers}")}
    command = [sys.executable, "-m", "sweep", "run", str(study), "--scale", "laptop", "--device", "cpu"]
    command += ["--workers", str(workers), "--name", name, "--set", f"epochs={epochs}", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"sweep run ended with {done.returncode}: {done.stderr[-2000:]}")


def measure(rounds: int, trials: int, epochs: int) -> list[Row]:
    cores = available_cores()
    title = f"{trials} trials of {epochs} epochs: {cores} workers of 1 thread, against 1 of {cores} threads"
    if cores < 2:
        return [Row(title, None, "", note="needs two cores")]
    with tempfile.TemporaryDirectory() as name:
        folder, calls = Path(name), iter(range(10**6))
        works = {
            workers: lambda workers=workers: run_study(  # type: ignore[misc]
                folder, f"set{next(calls)}", workers, trials, epochs
            )
            for workers in (1, cores)
        }
        seconds = take_turns(
            {str(k): v for k, v in works.items()}, rounds, CLOCKS["wall"], warm_up=rounds > 1
        )
    one, many = seconds["1"], seconds[str(cores)]
    sooner = ratios(one, many)
    note = f"{middle(many).median:.1f} against {middle(one).median:.1f} s"
    return [Row(title, sooner.median, "x as soon", sooner.interval, 1.3, note=note)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    show(measure(o.rounds, o.trials, o.epochs), o.json)


if __name__ == "__main__":
    main()
