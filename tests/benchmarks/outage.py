"""What an outage in the middle of a study costs in time: whole runs with one and without, in turn.

    python -m tests.benchmarks.outage --rounds 3

The study is `depth_study` at depth 2 (laptop base, one worker of one thread, so that the server has a core).
MLflow's server is killed for 30 s; PostgreSQL's connections are cut, then it is stopped for 2 s.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from sweep.store.home import Home
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import ratios
from tests.sweep.servers import MlflowServer, database, running_server

DEPTH = ("--set", "model.encoder_depth=2", "--set", "model.decoder_depth=2", "--set", "threads=1")
RUN = ("run", "depth_study", "--scale", "laptop", "--device", "cpu", "--workers", "1", "--trials", "4")
TRAINED_S = 15.0
"""From the start of the command to the outage, which then falls into the first trials."""


def run(home: Home, settings: dict[str, str], outage: Callable[[], None]) -> float:
    """Seconds of the whole command; `outage` takes place beside it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", *RUN, *DEPTH],
        env=os.environ | {"SWEEP_HOME": str(home.root)} | settings,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(TRAINED_S)
    outage()
    if process.wait() != 0:
        raise RuntimeError(f"the study ended with exit code {process.returncode}")
    return time.perf_counter() - began


def nothing() -> None:
    pass


def with_mlflow(folder: Path, outage: bool) -> float:
    folder.mkdir()
    server = MlflowServer(folder)
    server.start()

    def away() -> None:
        server.kill()
        time.sleep(30)
        server.start()

    try:
        home = Home(folder / "home").create()
        return run(home, {"SWEEP_TRACKING_URI": server.url}, away if outage else nothing)
    finally:
        server.kill()


def with_postgresql(folder: Path, outage: bool) -> float:
    folder.mkdir()
    with running_server() as server:
        url = database(server, "study")

        def away() -> None:
            server.psql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'study';")
            time.sleep(5)
            server.stop()
            time.sleep(2)
            server.start()

        seconds = run(Home(folder / "home").create(), {"SWEEP_STORAGE": url}, away if outage else nothing)
        study = optuna.load_study(study_name="depth_study", storage=url)
        assert all(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        return seconds


def measure(what: Callable[[Path, bool], float], name: str, rounds: int) -> Row:
    undisturbed, disturbed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            undisturbed.append(what(Path(folder) / f"{turn} whole", False))
            disturbed.append(what(Path(folder) / f"{turn} cut", True))
            print(f"{name}: {undisturbed[-1]:.1f} s, with the outage {disturbed[-1]:.1f} s", flush=True)
    found = ratios(disturbed, undisturbed)
    return Row(name, found.median, "times", found.interval, 1.05, smaller_is_better=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    show(
        [
            measure(with_mlflow, "MLflow killed for 30 s: a study's time", options.rounds),
            measure(with_postgresql, "PostgreSQL restarted: a study's time", options.rounds),
        ]
    )


if __name__ == "__main__":
    main()
