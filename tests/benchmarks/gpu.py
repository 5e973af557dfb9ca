"""What a GPU is used for: one trial, many trials at once, the input side, whole studies, the host's share.

    python -m tests.benchmarks.gpu [--only single,input,host,lanes,study,grid] [--size 64,224] [--json FILE]

Prepared for a machine whose minutes are few: every part prints its rows as soon as it has them, and all of
them as one table at the end. Ours are whole trials with records, monitor, tracking and checkpoints.

single  Images a second of a trial's epochs (the median of them, without the first, in which the step is
        captured), interleaved with pythae's `BaseTrainer` with and without mixed precision, which is timed
        while it trains only.
input   Seconds of a step with tiles as a run has them, against the same batch again and again, interleaved.
host    Microseconds of Python a step beside the training itself: what becomes of a block's records.
lanes   Model steps a second of 4 trials a lane, from the first trial's start to the last one's end, by lanes
        and worker processes. The share of the time in which the card is at work is what `nvidia-smi` says.
study   54 laptop trials of 24 epochs, depths 2 to 7 and nine rates, from the first to the last.
grid    The laptop border study by a dense grid: its steps, and the seconds from the first run to the last.

`--device cpu --rehearse` runs all of it at smoke scale on a CPU, to see that it works.
"""

import argparse
import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

import sweep
from sweep.errors import UserError
from sweep.store import keys
from sweep.store.home import Home
from sweep.store.storage import open_optuna
from sweep.study import FloatAxis, IntAxis, Plan, Study
from tests.benchmarks.gpu_steps import Setting, WholeTrial, host, input_side
from tests.benchmarks.pythae_trainer import PythaeRun
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import middle, take_turns
from vae.quality.metrics._imagenet import load_layers

SINGLE = {64: 7.0, 224: 4.5}
"""Images a second over pythae's best that one trial is to reach."""
LANES = 33.0
"""Model steps a second over pythae's, at 64 px."""
STUDY_S = GRID_S = 60.0


def single(setting: Setting, size: int) -> list[Row]:
    epochs = 3 if setting.rehearse else 24 if size == 64 else 6
    ticks = time.perf_counter
    rows = []
    with tempfile.TemporaryDirectory() as name:
        config = setting.config(size, epochs=epochs, quality_draws=0)
        ours = WholeTrial(config, Path(name) / "ours")
        works: dict[str, Callable[[], object]] = {"ours": ours}
        theirs = {}
        with contextlib.suppress(ModuleNotFoundError):
            for amp in (False, True) if config.device.startswith("cuda") else (False,):
                run = PythaeRun(config, ours.tiles, Path(name) / f"amp{amp}", ticks, amp)
                works[f"pythae amp={amp}"] = theirs[f"amp={amp}"] = run
        take_turns(works, setting.rounds, ticks)
        rate = middle(ours.rates)
        where = f"{size} px, batch {config.batch_size}, one trial"
        rows.append(Row(f"{where}: images/s", rate.median, "", rate.interval))
        best = 0.0
        for label, run in theirs.items():
            found = middle([run.images / seconds for seconds in run.training])
            rows.append(Row(f"{where}: pythae's, {label}", found.median, "", found.interval))
            best = max(best, found.median)
        if best:
            setting.pythae_images[size] = best
            target = SINGLE[size]
            rows.append(Row(f"{where}: over pythae's best", rate.median / best, "x", target=target))
    return rows


class Busy:
    """The card's utilisation while inside, as `nvidia-smi` samples it; nan without it."""

    def __enter__(self) -> "Busy":
        self.samples: list[float] = []
        self._process = None
        if shutil.which("nvidia-smi"):
            query = [
                "nvidia-smi",
                "--query-gpu=utilization.gpu",
                "--format=csv,noheader,nounits",
                "-lms",
                "100",
            ]
            self._process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self.samples.append(float(line))

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()

    @property
    def share(self) -> float:
        """Of the samples in which it did anything, so without the start and the end of the processes."""
        at_work = [sample for sample in self.samples if sample > 0]
        return sum(at_work) / len(at_work) if at_work else float("nan")


@dataclass(frozen=True)
class Ran:
    """trials, steps in all, and the seconds from the first trial's start to the last one's end."""

    trials: int
    steps: int
    seconds: float
    busy: float


def ran(study: Study | str, setting: Setting, **options: Any) -> Ran:
    with tempfile.TemporaryDirectory() as name, Busy() as busy:
        try:
            results = sweep.run(study, home=Path(name), device=setting.device, use_map=False, **options)
        except UserError:
            for log in sorted(Home(Path(name)).logs.glob("*.log")):  # they are gone with the folder
                print(f"{log.name}:\n{log.read_text()[-3000:]}", flush=True)
            raise
        stored = optuna.load_study(study_name=results.name, storage=open_optuna(Home(Path(name))))
        trials = [t for t in stored.get_trials(deepcopy=False) if t.datetime_complete]
    began = min(t.datetime_start for t in trials if t.datetime_start)
    ended = max(t.datetime_complete for t in trials if t.datetime_complete)
    steps = sum(int(t.user_attrs.get(keys.STEPS, 0)) for t in trials)
    return Ran(len(trials), steps, (ended - began).total_seconds(), busy.share)


def lanes(setting: Setting, size: int) -> list[Row]:
    rows = []
    epochs = 2 if setting.rehearse else 48 if size == 64 else 3
    config = setting.base(
        size, epochs=epochs, quality_draws=0, early_stopping_patience=0, picture_every=epochs
    )
    rate = config.optim.lr
    places = (
        ((1, 1), (1, 2))
        if setting.rehearse
        else ((1, 1), (1, 8), (1, 32), (4, 8))
        if size == 64
        else ((1, 1), (1, 2))
    )
    theirs = setting.pythae_images.get(size, 0.0) / config.batch_size
    for workers, count in places:
        plan = Plan(
            base=config,
            axes=(FloatAxis(path="optim.lr", low=rate / 2, high=rate),),
            trials=(1 if size != 64 else 4) * workers * count,
        )
        study = Study(name="lanes", summary="Trials at once.", plans={"laptop": plan})
        found = ran(study, setting, workers=workers, lanes=count)
        speed = found.steps / found.seconds
        note = f"{found.trials} trials, {found.seconds:.1f} s, card busy {found.busy:.0f} %"
        where = f"{size} px, {workers} processes of {count} lanes"
        rows.append(Row(f"{where}: model steps/s", speed, "", note=note))
        if theirs:
            target = LANES if size == 64 else None
            rows.append(Row(f"{where}: over pythae's", speed / theirs, "x", target=target))
        print_rows(rows[-2:])
    return rows


def study(setting: Setting) -> list[Row]:
    config = setting.base(64, **({"epochs": 2} if setting.rehearse else {"epochs": 24}))
    plan = Plan(
        base=config,
        axes=(
            IntAxis(path="model.encoder_depth", low=2, high=3 if setting.rehearse else 7),
            FloatAxis(path="optim.lr", low=1e-4, high=1e-3, log=True),
        ),
        trials=4 if setting.rehearse else 54,
    )
    found = ran(Study(name="depths", summary="54 trials.", plans={"laptop": plan}), setting)
    note = f"{found.steps} steps, card busy {found.busy:.0f} %"
    name = f"{found.trials} laptop trials of {config.epochs} epochs, first to last"
    return [Row(name, found.seconds, "s", target=STUDY_S, smaller_is_better=True, note=note)]


def grid(setting: Setting) -> list[Row]:
    scale = "smoke" if setting.rehearse else "laptop"
    found = ran(
        "border_study", setting, scale=scale, strategy="grid", timeout_s=30 if setting.rehearse else 120
    )
    note = f"{found.trials} runs, {found.steps} steps, {found.steps / found.seconds:.0f} a second"
    return [Row("border study by a dense grid", found.seconds, "s", note=note)]


def print_rows(rows: list[Row]) -> None:
    for row in rows:
        print(f"  {row.name}: {row.value:.4g} {row.unit} {row.note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="single,input,host,lanes,study,grid")
    parser.add_argument("--size", default="64,224")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    setting = Setting(arguments.device, arguments.rehearse, arguments.rounds)
    sizes = [64] if setting.rehearse else [int(size) for size in arguments.size.split(",")]
    parts: dict[str, Callable[..., list[Row]]] = {
        "single": single, "input": input_side, "host": host, "lanes": lanes, "study": study, "grid": grid
    }  # fmt: skip
    if unknown := set(arguments.only.split(",")) - parts.keys():
        parser.error(f"--only names {', '.join(sorted(unknown))}: there are {', '.join(parts)}")
    load_layers()  # what image quality needs is here, or nothing is begun
    by_size, rows, failed = ("single", "input", "lanes"), [], []
    for part in arguments.only.split(","):
        for size in sizes if part in by_size else [None]:
            name, began = f"{part} {size or ''}".strip(), time.perf_counter()
            try:
                found = parts[part](setting, size) if size else parts[part](setting)
            except Exception:
                # The others are measured all the same: it may be long before there is a GPU again.
                traceback.print_exc()
                failed.append(name)
                continue
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
            print_rows(found)
            rows += found
    show(rows, arguments.json)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
