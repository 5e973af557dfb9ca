"""Is the cost of a trial flat over a long study, and how much memory does a worker take?

    python -m tests.benchmarks.trial_costs [--trials 500] [--json FILE]

Cost: smoke-scale trials of one epoch, one after the other in one process and one home, as a worker runs them;
processor seconds of the last ten against those of the ten from trial 10 on. What the parent does a trial is
`tests.benchmarks.scale`. Memory: the largest resident size that the worker of a laptop `sweep run` of two
trials ever had, with `edge_ratio` measured every epoch.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from studies.base import SMOKE
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.harness_overhead import TrialRunner
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, middle
from vae.training.hardware import resolve

LEAST_TRIALS, WINDOW = 30, 10


def flatness(trials: int) -> list[Row]:
    torch.set_num_threads(1)
    config = resolve(with_settings(SMOKE, {"epochs": 1, "threads": 1, "device": "cpu"}))
    assert isinstance(config, TrialConfig)
    clock = CLOCKS["cpu"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        runner = TrialRunner(config, Path(folder), clock)
        for _ in range(trials):
            began = clock()
            runner()
            seconds.append(clock() - began)
    first, last = (middle(part).median for part in (seconds[WINDOW : 2 * WINDOW], seconds[-WINDOW:]))
    name = f"cost of trial {trials} against trial 10, smoke scale, one epoch"
    note = f"{last:.3f} against {first:.3f} s of processor time"
    return [Row(name, last / first, "x", target=1.1, smaller_is_better=True, note=note)]


def memory() -> list[Row]:
    command = [sys.executable, "-m", "sweep", "run", "depth_study", "--scale", "laptop", "--device", "cpu"]
    command += ["--workers", "1", "--trials", "2", "--set", "epochs=4", "--set", "curvature_every=1"]
    command += ["--set", "model.base_channels=32", "--json"]
    peak = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SWEEP_HOME": folder}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            while run.poll() is None:
                peak = max(peak, *(_peak_of(p) for p in _workers(run.pid)), 0)
                time.sleep(0.1)
        if run.returncode:
            raise RuntimeError(f"sweep run ended with {run.returncode}")
    name = "peak memory of a worker, 64 px, base 32, with edge_ratio"
    return [Row(name, peak / 1e9, "GB", target=1.2, smaller_is_better=True)]


def _workers(parent: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(parent).children(recursive=True)
        return [child for child in children if "sweep.engine.worker" in child.cmdline()]
    except psutil.Error:
        return []


def _peak_of(process: psutil.Process) -> int:
    """Largest resident size so far, in bytes; 0 where the process is gone or the system does not say."""
    path = Path(f"/proc/{process.pid}/status")
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    if o.trials < LEAST_TRIALS:
        parser.error(f"--trials must be at least {LEAST_TRIALS}")
    show(flatness(o.trials) + memory(), o.json)


if __name__ == "__main__":
    main()
