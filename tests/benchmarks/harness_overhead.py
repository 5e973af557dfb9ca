"""What the harness costs: a whole trial (stability quantities, MLflow, Optuna, pictures, checkpoints)
against a bare loop of the same model on the same data, validating every epoch too.

    python -m tests.benchmarks.harness_overhead [--rounds 10] [--epochs 4]
    python -m tests.benchmarks.harness_overhead --rounds 0

Without the image quality at a run's end, whose cost `vae.quality.model` states.
64 px, base 32, batch 32; images a second, and the ratio of seconds harness / bare with its interval.

First, and alone with `--rounds 0`, what recording costs the process in microseconds a step: of 2,400 steps in
24 epochs with 21 quantities each, the hook, the journal once an epoch, the part of the series with each
checkpoint (here one an epoch), and the whole series at the end. Without sending to the tracker, which a
thread does meanwhile. On a 2-core machine busy with other work: 0.5, 2, 9 and 3.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore

import sweep.engine.training
from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from sweep.engine.trial import Context, run_trial
from sweep.recovery.attempts import claim
from sweep.search.request import Request
from sweep.search.sampling import ArmSampler
from sweep.store.checkpoints import Checkpoints
from sweep.store.home import Home
from sweep.store.links import run_linker
from sweep.store.provenance import collect
from sweep.store.storage import open_optuna
from sweep.study import FloatAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings
from sweep.tracking import trackers
from sweep.tracking.hooks import CHART_POINTS, CHARTED, RecordingHooks
from sweep.tracking.registration import register
from sweep.tracking.run import Run
from sweep.tracking.sender import Sender
from sweep.tracking.series import Series
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, Clock, middle, ratios, take_turns
from vae.model.network import build_model
from vae.model.pixels import normalise
from vae.training.hardware import resolve


def bare_loop(config: TrialConfig, tiles: TileSet) -> None:
    """What one writes by hand: same network, optimizer, precision, batches, validation; no records."""
    model = build_model(config.model, config.seed)
    bfloat16 = config.precision == "bfloat16"
    if config.memory_format == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optim.lr, fused=True)
    loader = BatchLoader(tiles.train, config.batch_size, config.seed, flip=True, rotate=True)
    noise = torch.randn(len(tiles.validation), config.model.latent_dim)

    def loss_of(batch: torch.Tensor, eps: torch.Tensor, autocast: bool) -> torch.Tensor:
        x = normalise(batch, config.model.output_range, model.memory_format)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            recon, mu, logvar, _ = model(x, eps)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
        return ((recon - x).square().sum() + kl) / len(batch)

    for _ in range(config.epochs):
        model.train()
        for batch in loader.epoch():
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch, torch.randn(len(batch), config.model.latent_dim), bfloat16)
            torch.autograd.backward(loss)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss_of(tiles.validation, noise, False).item()


def harness(config: TrialConfig, folder: Path) -> tuple[Context, TileSet]:
    """A study with one axis of one value, ready for `run_trial`."""
    home = Home(folder).create()
    tiles = prepare(config.data, home.cache)
    lr = config.optim.lr
    plan = Plan(base=config, axes=(FloatAxis(path="optim.lr", low=lr, high=lr),), trials=1)
    study = Study(name="overhead", summary="What the harness costs.", plans={"laptop": plan})
    storage, tracker, provenance = open_optuna(home), trackers.build(home), collect()
    sender = Sender(tracker, run_linker(storage))
    registered = register(storage, tracker, sender, study.name, study, "laptop", plan, tiles, provenance)
    context = Context(
        plan=plan,
        study=optuna.load_study(study_name=study.name, storage=storage, sampler=ArmSampler(plan, 0)),
        study_name=study.name,
        home=home,
        sender=sender,
        experiment=registered.experiment,
        parent_run=registered.run_id,
        provenance=provenance,
        tiles=lambda data: tiles,
        seed=0,
        artifacts=FileSystemArtifactStore(home.optuna_artifacts),
    )
    return context, tiles


class TrialRunner:
    """Calling it runs a whole trial of `config`; adds up the seconds of its training phases."""

    def __init__(self, config: TrialConfig, folder: Path, clock: Clock) -> None:
        self.context, self.tiles = harness(config, folder)
        self.clock = clock
        self.training: list[float] = []

    def __call__(self) -> None:
        clock, runner = self.clock, self

        class Timed(BatchLoader):
            """The time from an epoch's first batch to its end is that of the steps and what watches them."""

            def epoch(self) -> Iterator[torch.Tensor]:
                began = clock()
                yield from super().epoch()
                runner.training[-1] += clock() - began

        self.training.append(0.0)
        Request(phase="explore").enqueue(self.context.study)
        claimed = claim(self.context.study, "benchmark")
        assert claimed is not None
        with mock.patch.object(sweep.engine.training, "BatchLoader", Timed):
            trial = optuna.Trial(self.context.study, claimed._trial_id)
            run_trial(self.context, trial, lambda facts: False)
        if not self.training[-1]:
            raise RuntimeError("the trial ended within its first epoch, as one that is not finite does")


def on_steps(hooks: RecordingHooks, records: list[dict[str, float]]) -> None:
    for record in records:
        hooks.on_step(record)


def recording(steps: int = 2400, epochs: int = 24) -> dict[str, float]:
    """Microseconds a step of this thread, by what is done; the second of two runs, which imports nothing."""
    names = (*CHARTED, *(f"other_{number}" for number in range(8)))
    values = torch.randn(steps, len(names), generator=torch.Generator().manual_seed(0)).tolist()
    records = [
        dict(zip(names, row, strict=True)) | {"step": step, "epoch": step * epochs // steps}
        for step, row in enumerate(values)
    ]
    spent: dict[str, float] = {}

    def add(name: str, work: Callable[[], object]) -> None:
        began = time.thread_time()
        work()
        spent[name] = spent.get(name, 0.0) + 1e6 * (time.thread_time() - began) / steps

    for number in range(2):
        spent.clear()
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder), tracker="files").create()
            sender = Sender(trackers.build(home), lambda *_: None, begun=False)
            run = Run(home.spool, f"run{number}", sender)
            series = Series(Checkpoints(home, "overhead", number))
            trial = optuna.create_study().ask()
            store = FileSystemArtifactStore(home.optuna_artifacts)
            hooks = RecordingHooks(run, trial, store, series, lambda facts: False)
            hooks.every = steps // CHART_POINTS
            for epoch in range(epochs):
                some = records[epoch * steps // epochs : (epoch + 1) * steps // epochs]
                add("hook", partial(on_steps, hooks, some))
                add("journal", run.flush)
                add("parts", series.save)
            add("series", series.files)
            run.release()
            sender.close()
    return spent


def measure(rounds: int, epochs: int, threads: int, clock: str) -> list[Row]:
    torch.set_num_threads(threads)
    # The image quality is a measurement of its own, once at the end of a trial.
    settings = {"model.base_channels": 32, "epochs": epochs, "threads": threads, "quality_draws": 0}
    config = resolve(with_settings(LAPTOP, settings))
    assert isinstance(config, TrialConfig)
    with tempfile.TemporaryDirectory() as folder:
        runner = TrialRunner(config, Path(folder), CLOCKS[clock])
        tiles = runner.tiles
        works = {"bare": lambda: bare_loop(config, tiles), "trial": runner}
        seconds = take_turns(works, rounds, CLOCKS[clock])
    ratio = ratios(seconds["trial"], seconds["bare"])
    images = config.epochs * (len(tiles.train) // config.batch_size) * config.batch_size
    bare, trial = (images / middle(seconds[name]).median for name in ("bare", "trial"))
    where = f"64 px, base 32, {config.precision}, {epochs} epochs, {threads} threads, {clock} clock"
    note = f"{trial:.0f} against {bare:.0f} images/s"
    name = f"whole trial against a bare loop, {where}"
    return [Row(name, ratio.median, "x its time", ratio.interval, note=note)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=LAPTOP.epochs)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    figures = ", ".join(f"{name} {figure:.1f}" for name, figure in recording().items())
    print(f"recording, microseconds a step: {figures}\n")
    if not o.rounds:
        return
    show(measure(o.rounds, o.epochs, o.threads, o.clock), o.json)


if __name__ == "__main__":
    main()
