"""What a trial costs the process that runs a study, and the worker, all but its training.

    python -m tests.benchmarks.engine_costs [--trials 50 800] [--json FILE]

A border study by `--strategy grid` in sqlite that has so many ended probes. Then, of twenty more: processor
milliseconds of the supervisor (take: what comes next, put into the queue and claimed; over: what it does when
one has ended), and of a worker with a network so small that a probe of two steps costs nothing (run: from its
settings to the end in both stores, with the thread that sends to MLflow), and the milliseconds for which the
worker's lane is held up where a trial's run ends.
"""

import argparse
import cProfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState

from data_io import prepare
from studies.base import SMOKE
from sweep.engine.limits import Limits, Stop
from sweep.engine.observer import Observer
from sweep.engine.supervisor import Supervisor
from sweep.engine.trial import Context, run_trial
from sweep.engine.worker import Spec
from sweep.engine.workers import Pool
from sweep.search.sampling import ArmSampler, search_space
from sweep.store import keys
from sweep.store.home import Home
from sweep.store.links import run_linker
from sweep.store.optuna_internals import live_trial
from sweep.store.provenance import collect
from sweep.store.storage import open_optuna, read_all
from sweep.study import Plan, Study
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import with_settings
from sweep.tracking import trackers
from sweep.tracking.dashboard import NoteWriter
from sweep.tracking.registration import register
from sweep.tracking.run import Run
from sweep.tracking.sender import Sender
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import Clock, middle

MEASURED = 20
PARTS = ("take", "over", "run", "held up")


def grid(trials: int) -> Plan:
    """Three columns of three seeds, over which a grid has room for more than so many trials."""
    both = ("model.encoder_depth", "model.decoder_depth")
    plane = Plane(across=(Across(name="depth", paths=both, values=(2, 3, 4)),))
    step = 4.0 / (trials // 9 + 5)
    border = BorderPlan(plane=plane, labels=("nonfinite",), strategy="grid", grid_step=step, verify=0)
    base = with_settings(SMOKE, {"threads": 1, "device": "cpu", "quality_draws": 0})
    return Plan.for_border(base, border)


class Bench:
    """A supervisor and a worker in one process, over stores of their own."""

    def __init__(self, folder: Path, trials: int) -> None:
        self.plan, self.home = grid(trials), Home(folder).create()
        tiles, tracker, provenance = (
            prepare(self.plan.base.data, self.home.cache),
            trackers.build(self.home),
            collect(),
        )
        storage = open_optuna(self.home)
        self.sender = Sender(tracker, run_linker(storage))
        study = Study(name="grid", summary="A grid of probes.", plans={"smoke": self.plan})
        registered = register(
            storage, tracker, self.sender, study.name, study, "smoke", self.plan, tiles, provenance
        )
        facts = {"experiment": registered.experiment, "parent_run": registered.run_id, "seed": 0}
        spec = Spec.of(self.home, study_name=study.name, plan=self.plan, provenance=provenance, **facts)
        self.supervisor = Supervisor(
            registered.study,
            self.home,
            spec,
            Pool(self.home, [""], 1),
            Limits(None, 3, print, Stop()),
            Observer(),
            2,
        )
        self.supervisor.me = "benchmark"
        self.supervisor.notes = NoteWriter(registered.study)
        own = optuna.load_study(
            study_name=study.name, storage=open_optuna(self.home), sampler=ArmSampler(self.plan, 0)
        )
        self.worker = Context(
            plan=self.plan,
            study=own,
            study_name=study.name,
            home=self.home,
            sender=self.sender,
            experiment=registered.experiment,
            parent_run=registered.run_id,
            provenance=provenance,
            tiles=lambda _: tiles,
            seed=0,
            artifacts=FileSystemArtifactStore(self.home.optuna_artifacts),
        )
        self.spent: dict[str, list[float]] = defaultdict(list)
        self._fill(trials)
        read_all(registered.study)
        read_all(own)

    def _fill(self, trials: int) -> None:
        """Ended probes, as they would lie in the store."""
        from sweep.border.phases import Map
        from tests.benchmarks.mapper_rounds import Truth

        assert self.plan.border is not None
        truth, phase = Truth.drawn(self.plan, "probit", 0), Map(self.plan.border, self.plan.base)
        study = self.supervisor.study
        made: list[optuna.trial.FrozenTrial] = []
        while len(made) < trials:
            request = phase.next(made)
            assert request is not None
            assert request.seed is not None
            column = self.plan.border.plane.columns.index(tuple(request.attrs[keys.BORDER_AT]))
            seen = truth.observe(column, request.seed, request.attrs[keys.BORDER_X], "nonfinite", None)
            attrs = request.user_attrs() | {f"{keys.BORDER}{k}": v for k, v in seen.as_dict().items()}
            spaces = {path: search_space(self.plan)[path] for path in request.params}
            trial = optuna.create_trial(
                state=TrialState.PRUNED,
                params=dict(request.params),
                distributions=spaces,
                user_attrs=attrs | {keys.OUTCOME: "probed", keys.RUN_KEY: "key", keys.RUN_ID: "id"},
            )
            trial.number = len(made)
            made.append(trial)
        study.add_trials(made)

    def one(self) -> None:
        with self._timed("take", time.process_time):
            trial = self.supervisor._take()
        assert trial is not None
        claimed = self.worker.study.get_trials(deepcopy=False)[trial.number]
        ending = mock.patch.object(Run, "end", self._ending(Run.end))
        with self._timed("run", time.process_time), ending:
            run_trial(self.worker, live_trial(self.worker.study, claimed), lambda facts: False)
        with self._timed("over", time.process_time):
            self.supervisor.notes.write(trial.number)
            while self.supervisor.notes._numbers.qsize():
                time.sleep(0.001)
            self.supervisor._save_seconds()
            self.supervisor._foretell()
            self.supervisor._left()
            self.supervisor._wake()

    def _ending(self, end: Callable[..., None]) -> Callable[..., None]:
        def timed(*args: Any, **kwargs: Any) -> None:
            with self._timed("held up", time.perf_counter):
                end(*args, **kwargs)

        return timed

    @contextmanager
    def _timed(self, name: str, clock: Clock) -> Iterator[None]:
        began = clock()
        yield
        self.spent[name].append(1000 * (clock() - began))


def measure(trials: int, profile: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), trials)
        for _ in range(3):  # the first ones import what is imported late
            bench.one()
        bench.sender.drain(60)
        bench.spent.clear()
        watch = cProfile.Profile()
        if profile:
            watch.enable()
        for _ in range(MEASURED):
            bench.one()
        if profile:
            watch.disable()
            watch.dump_stats(profile)
        bench.sender.drain(60)
        bench.supervisor.notes.close()
        bench.sender.close()
    return {part: middle(bench.spent[part]).median for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 800])
    parser.add_argument("--profile", type=Path, help="of this process, for pstats")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        Row(f"{part}, after {trials} trials", value, "ms")
        for trials in options.trials
        for part, value in measure(trials, options.profile).items()
    ]
    show(rows, options.json)


if __name__ == "__main__":
    main()
