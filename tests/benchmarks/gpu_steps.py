"""Parts of `tests.benchmarks.gpu` that look into a run's steps: the input side, and the host's share."""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import torch

from studies.base import LAPTOP, PAPER, SMOKE
from sweep.engine.training import train_on
from sweep.engine.trial import run_trial
from sweep.recovery.attempts import claim
from sweep.search.request import Request
from sweep.study.config import TrialConfig, with_settings
from sweep.tracking.hooks import RecordingHooks
from tests.benchmarks.harness_overhead import harness
from tests.benchmarks.table import Row
from tests.benchmarks.turns import middle, ratios, take_turns
from vae.training.cuda_graph import own_stream
from vae.training.hardware import prepare, resolve
from vae.training.hooks import Hooks
from vae.training.steps import InBlocks

HOST_US = 150.0


@dataclass
class Setting:
    """device, and whether all is made small."""

    device: str
    rehearse: bool
    rounds: int
    pythae_images: dict[int, float] = field(default_factory=dict)

    def config(self, size: int, **settings: Any) -> TrialConfig:
        """Of a trial in this process."""
        config = resolve(self.base(size, **settings))
        assert isinstance(config, TrialConfig)
        return config

    def base(self, size: int, **settings: Any) -> TrialConfig:
        """Of a study, whose workers choose threads, precision and kind of step."""
        base = SMOKE if self.rehearse else LAPTOP if size == 64 else PAPER
        rate = 1e-3 if size == 64 else 3e-5  # the head of 224 px has a fan-in of 25,088 and more
        common = {"device": self.device, "optim.lr": rate, "optim.lr_schedule": "constant", "seed": 0}
        return with_settings(base, common | settings)


class WholeTrial:
    """Calling it runs a trial as a worker does; `rates` are images a second of epochs, but for the first."""

    def __init__(self, config: TrialConfig, folder: Path) -> None:
        self.config = config
        self.context, self.tiles = harness(config, folder)
        self.rates: list[float] = []

    def __call__(self) -> None:
        on_epoch, rates = RecordingHooks.on_epoch, self.rates

        def seen(hooks: RecordingHooks, record: dict[str, float]) -> None:
            if record["epoch"]:
                rates.append(record["time/train_images_per_second"])
            on_epoch(hooks, record)

        Request(phase="explore").enqueue(self.context.study)
        claimed = claim(self.context.study, "benchmark")
        assert claimed is not None
        with mock.patch.object(RecordingHooks, "on_epoch", seen):
            trial = optuna.Trial(self.context.study, claimed._trial_id)
            run_trial(self.context, trial, lambda facts: False)


class _Started(Exception):
    """Carries a run's steps out of `fit`."""


def _program(config: TrialConfig, tiles: Any) -> Any:
    """The steps of a run, set up as `fit` sets them up, before the first."""
    found = []

    class Catch(InBlocks):
        def epoch(self, *_: Any) -> Iterator[Any]:
            found.append(self)
            raise _Started

    with mock.patch("vae.training.steps.InBlocks", Catch), contextlib.suppress(_Started):
        train_on(tiles, config.model_copy(update={"step": "graph"}), Hooks(), resolved=True)
    return found[0]


def input_side(setting: Setting, size: int) -> list[Row]:
    count = 8 if setting.rehearse else 200 if size == 64 else 40
    with tempfile.TemporaryDirectory() as name:
        config = setting.config(size, epochs=1000)
        _, tiles = harness(config, Path(name))
    prepare(config)
    real, again = (_program(config, tiles) for _ in range(2))
    # The second is given one batch, and takes it at every step.
    one_batch = real._source.images[: config.batch_size].to(config.device)
    again._program._batch, again._program._resident = one_batch, False
    device = torch.device(config.device)

    def steps(endless: Iterator[None]) -> Callable[[], None]:
        def work() -> None:
            for _ in range(count):
                next(endless)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return work

    works = {"run": steps(_endless(real)), "one batch": steps(_endless(again, one_batch))}
    with own_stream(device):
        seconds = take_turns(works, setting.rounds, time.perf_counter)
    ratio = ratios(seconds["run"], seconds["one batch"])
    step = 1000 * middle(seconds["run"]).median / count
    name = f"{size} px: a step with a run's tiles against one with the same batch"
    return [Row(name, ratio.median, "x", ratio.interval, 1.05, smaller_is_better=True, note=f"{step:.2f} ms")]


def _endless(of: Any, one_batch: torch.Tensor | None = None) -> Iterator[None]:
    """Launches of a run's steps, epoch after epoch."""
    program, source = of._program, of._source
    length, step = len(source), 0
    while True:
        program.begin(0, [1e-4] * length, [1.0] * length, [1.0] * length)
        if program.resident or one_batch is not None:
            batches: Iterator[Any] = itertools.repeat(one_batch, length)
        else:
            batches = source.epoch()
        for batch in batches:
            program.launch(step, batch)
            step += 1
            yield
        if program.resident:
            source.served(length)
            source.end_epoch()


def host(setting: Setting) -> list[Row]:
    """Microseconds of this thread that a block's records cost, from the device's numbers to the hooks."""
    spent, steps = 0.0, 0
    records = InBlocks._records

    def timed(self: InBlocks, start: int, block: Any, ended: Any) -> Any:
        nonlocal spent, steps
        if block.ready:
            block.ready.synchronize()
        began = time.thread_time()
        found = records(self, start, block, ended)
        spent, steps = spent + time.thread_time() - began, steps + len(found)
        return found

    on_step, epochs = RecordingHooks.on_step, 3 if setting.rehearse else 24

    def seen(hooks: RecordingHooks, record: dict[str, float]) -> None:
        nonlocal spent
        began = time.thread_time()
        on_step(hooks, record)
        spent += time.thread_time() - began

    launch, launches = InBlocks._launch, 0.0

    def launched(self: InBlocks, *arguments: Any) -> Any:
        nonlocal launches
        began = time.thread_time()
        block = launch(self, *arguments)
        launches += time.thread_time() - began
        return block

    with tempfile.TemporaryDirectory() as name:
        trial = WholeTrial(setting.config(64, epochs=epochs, step="graph", quality_draws=0), Path(name))
        with (
            mock.patch.object(InBlocks, "_records", timed),
            mock.patch.object(InBlocks, "_launch", launched),
            mock.patch.object(RecordingHooks, "on_step", seen),
        ):
            trial()
    rows = [
        Row("records, monitor, labels and hooks of a step", 1e6 * spent / steps, "µs", target=HOST_US,
            smaller_is_better=True)
    ]  # fmt: skip
    if setting.device.startswith("cuda"):  # on a CPU the launch is the step itself
        rows.append(Row("launching a step", 1e6 * launches / steps, "µs"))
    return rows
