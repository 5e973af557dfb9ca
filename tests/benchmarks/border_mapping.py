"""What does a map of the border cost, and how near is it to the truth? Real training on the bundled scenes.

    python -m tests.benchmarks.border_mapping --cache DIR --train COLUMN SEED   (minutes; a column and seed)
    python -m tests.benchmarks.border_mapping --cache DIR                       (minutes, once trained)
    ... --plane clip                                                            (a cache of its own)

Laptop base, three seeds, in one of two planes. `depth`: depths 2, 4, 8 under Adam, rates 1e-5 to 1e-1.
`clip`: clip norms 1, 10, 100 under SGD with momentum, rates 1e-5 to 10. The truth: runs 0.1 decades apart,
down from the highest rate until six in a row are finite and useful, and from there, where `blowup` is mapped,
the first 192 steps, four times what its probes follow, down to 1e-4. A column's true border is the
maximum-likelihood probit over its three seeds.

Every run is real, and the same run has the same end, so each is trained once and kept with its losses: a
strategy that asks for a probe of it gets what that probe would have seen, and pays its steps. What a
strategy asks for and is not there is trained then. Rates are rounded to 0.1 decades, those of the truth. A
rate below all of the truth's whole runs counts as finite and useful, and costs a whole run.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from scipy.optimize import minimize
from scipy.special import log_ndtr

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from studies.border_sgd_clip_study import SGD
from sweep.border.model import BorderModel
from sweep.border.phase import chooser
from sweep.border.plan import Across, BorderPlan, Plane, Strategy
from sweep.border.seen import Seen, border_runs
from sweep.border.strategies import Proposal
from sweep.config import TrialConfig, with_settings
from sweep.home import Home
from vae.fit import fit
from vae.hooks import Hooks
from vae.labels import LABELS, BorderLabels, Horizon, Label, Observation, probe_horizon, verdict

SEEDS = (0, 1, 2)
SPACING = 0.1
CLEAN_IN_A_ROW = 6
TRUTH_STEPS = 192
BLOWUP_DOWN_TO = -4.0


@dataclass(frozen=True)
class Setup:
    """What is mapped: a plane of one axis across, its columns' values, the labels, and the base."""

    plane: Plane
    labels: tuple[Label, ...]
    base: TrialConfig

    @property
    def columns(self) -> tuple[float, ...]:
        return self.plane.across[0].values

    @property
    def name(self) -> str:
        return self.plane.across[0].name

    def settings(self, column: float) -> dict[str, Any]:
        return dict.fromkeys(self.plane.across[0].paths, column)


SETUPS = {
    "depth": Setup(
        Plane(
            across=(
                Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(2, 4, 8)),
            )
        ),
        LABELS,
        LAPTOP,
    ),
    "clip": Setup(
        Plane(
            high=10.0,
            across=(Across(name="clip norm", paths=("optim.clip_norm",), values=(1, 10, 100), log=True),),
        ),
        ("nonfinite", "useless"),
        with_settings(LAPTOP, SGD),
    ),
}


@dataclass(frozen=True)
class Record:
    """One trained run: loss of every step, the step at which it was not finite, its length and seconds."""

    column: float
    seed: int
    x: float
    losses: list[float]
    nonfinite_step: int | None
    total_steps: int
    mean_image_loss: float
    seconds: float

    def probe(self, label: Label, horizon: Horizon) -> Observation | None:
        """What a probe of this run sees; None where it would go on beyond the record."""
        labels = BorderLabels(self.total_steps, self.mean_image_loss)
        for step, loss in enumerate(self.losses):
            finite = self.nonfinite_step is None or step < self.nonfinite_step
            labels.update(loss, finite=finite)
            if step % 4 == 3 or step < 40 or step + 1 >= len(self.losses):
                seen = labels.observation()
                if verdict(label, seen, horizon) is not None or not finite:
                    return seen
        return None


class Losses(Hooks):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step(self, record: dict[str, float]) -> None:
        self.losses.append(float(f"{record['loss']:.8g}"))


class Oracle:
    """Trains what is asked for and keeps it, one file a column and seed."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder, self.setup = folder, setup
        self.tiles: TileSet | None = None
        self._floors: dict[tuple[float, int], float] = {}
        self.records: dict[tuple[float, int, float], Record] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.glob("*.jsonl")):
            for line in file.read_text().splitlines():
                self._keep(Record(**json.loads(line)))

    def _keep(self, record: Record) -> None:
        key = (record.column, record.seed, record.x)
        known = self.records.get(key)
        if known is None or len(known.losses) < len(record.losses):
            self.records[key] = record

    def assert_current(self) -> None:
        """The shortest run of every column and seed again: another state of the code trains other runs.

        Raises:
            SystemExit: a record is not what training gives now.
        """
        for column, seed in sorted({(c, s) for c, s, _ in self.records}):
            mine = [r for (c, s, _), r in self.records.items() if (c, s) == (column, seed)]
            known = min(mine, key=lambda record: len(record.losses))
            again = self._run(
                column, seed, known.x, None if known.nonfinite_step is not None else TRUTH_STEPS
            )
            if not np.array_equal(known.losses, again.losses, equal_nan=True):
                raise SystemExit(
                    f"{self.setup.name} {column:g} seed {seed} at 10^{known.x} trains otherwise now: "
                    f"empty {self.folder}"
                )

    def probe(self, column: float, seed: int, x: float, label: Label, horizon: Horizon) -> Observation:
        record = self.records.get((column, seed, x))
        seen = record.probe(label, horizon) if record else None
        if seen is None:
            seen = self.train(column, seed, x, None).probe(label, horizon)
        assert seen is not None
        return seen

    def floor(self, column: float, seed: int) -> float:
        """Below it a run is known without training: finite and useful, or too slow."""
        key = (column, seed)
        if key not in self._floors:
            mine = [r for r in self.truth_of(column, seed) if _crosses(r)]
            self._floors[key] = min(r.x for r in mine) - SPACING * CLEAN_IN_A_ROW
        return self._floors[key]

    def train(self, column: float, seed: int, x: float, steps: int | None) -> Record:
        """A whole run, or its first steps; kept."""
        record = self._run(column, seed, x, steps)
        with (self.folder / f"{self.setup.name}{column:g}-seed{seed}.jsonl").open("a") as file:
            file.write(json.dumps(vars(record)) + "\n")
        self._keep(record)
        return record

    def _run(self, column: float, seed: int, x: float, steps: int | None) -> Record:
        base = self.setup.base
        self.tiles = self.tiles or prepare(base.data, Home.find().create().cache)
        probe = {"probe.label": "blowup", "probe.horizon": steps} if steps else {"probe.label": "nonfinite"}
        config = with_settings(
            base, self.setup.settings(column) | probe | {"optim.lr": 10**x, "seed": seed, "threads": 1}
        )
        loader = BatchLoader(self.tiles.train, config.batch_size, seed, flip=True, rotate=True)
        hooks = Losses()
        result = fit(config, loader, self.tiles.validation, hooks)
        told = result.observation
        assert told.mean_image_loss is not None
        return Record(
            column,
            seed,
            x,
            hooks.losses,
            told.nonfinite_step,
            told.total_steps,
            told.mean_image_loss,
            result.seconds,
        )

    def truth_of(self, column: float, seed: int) -> list[Record]:
        """The runs of `train_truth`, and none that a strategy asked for elsewhere."""
        clean, found = 0, []
        for x in lattice(math.log10(self.setup.plane.high), BLOWUP_DOWN_TO):
            record = self.records.get((column, seed, x))
            if record is None:
                break
            whole = clean < CLEAN_IN_A_ROW
            if not whole and "blowup" not in self.setup.labels:
                break
            clean = 0 if whole and _crosses(record) else clean + 1
            found.append(record)
        return found

    def train_truth(self, column: float, seed: int) -> None:
        clean = 0
        for x in lattice(math.log10(self.setup.plane.high), BLOWUP_DOWN_TO):
            whole = clean < CLEAN_IN_A_ROW
            if not whole and "blowup" not in self.setup.labels:
                return
            record = self.records.get((column, seed, x)) or self.train(
                column, seed, x, None if whole else TRUTH_STEPS
            )
            clean = 0 if whole and _crosses(record) else clean + 1
            print(
                f"{self.setup.name} {column:g} seed {seed} x {x:.2f}: {len(record.losses)} steps", flush=True
            )


def _crosses(record: Record) -> bool:
    """Not finite or useless, where it was followed to its end."""
    seen = record.probe("nonfinite", None)
    return seen is not None and bool(verdict("nonfinite", seen, None) or verdict("useless", seen, None))


def lattice(high: float, low: float) -> list[float]:
    return [round(high - i * SPACING, 2) for i in range(round((high - low) / SPACING) + 1)]


def truth(oracle: Oracle, label: Label, seeds: tuple[int, ...]) -> dict[float, tuple[float, float]]:
    """Column -> border and width (decades), by maximum likelihood of Phi((x - b) / width)."""
    found = {}
    setup = oracle.setup
    highest = math.log10(setup.plane.high)
    for column in setup.columns:
        x, sign = [], []
        for seed in seeds:
            for record in oracle.truth_of(column, seed):
                crossed = _true_outcome(label, record)
                if crossed is not None:
                    x.append(record.x)
                    sign.append(1.0 if crossed else -1.0)
        xs, signs = np.array(x), np.array(sign)

        def loss(p: Any, xs: Any = xs, signs: Any = signs) -> float:
            return -float(log_ndtr(signs * (xs - p[0]) / max(abs(p[1]), 0.03)).sum())

        starts = [minimize(loss, [b, 0.15], method="Nelder-Mead") for b in np.arange(-4, highest, 0.25)]
        best = min(starts, key=lambda result: result.fun)
        found[column] = (float(best.x[0]), max(abs(float(best.x[1])), 0.03))
    return found


def _true_outcome(label: Label, record: Record) -> bool | None:
    seen = record.probe("nonfinite", None)
    if seen is not None:
        return verdict(label, seen, None)
    short = record.probe("blowup", TRUTH_STEPS)
    return None if short is None or label != "blowup" else verdict(label, short, TRUTH_STEPS)


class Price:
    """Steps, and seconds of training at what a step of that column takes."""

    def __init__(self, oracle: Oracle) -> None:
        self.columns = oracle.setup.columns
        self.step_seconds = {}
        for column in self.columns:
            whole = [r for r in oracle.records.values() if r.column == column and len(r.losses) > 100]
            self.step_seconds[column] = float(np.median([r.seconds / len(r.losses) for r in whole]))

    def of(self, runs: Sequence[Seen]) -> tuple[int, float]:
        steps = [(self.columns[run.column], run.observation.steps) for run in runs if run.observation]
        return sum(s for _, s in steps), sum(self.step_seconds[c] * s for c, s in steps)


@dataclass(frozen=True)
class Result:
    runs: list[Seen]
    probes: int
    borders: dict[Label, dict[float, float | None]]


def execute(oracle: Oracle, plan: BorderPlan, verify: bool) -> Result:
    """One strategy, as the phases of a study run it."""
    choose = chooser(plan, oracle.setup.base)
    asked: list[Seen] = []
    runs: list[Seen] = []
    probes = 0
    while True:
        proposal = choose.next_probe(asked)
        if proposal is not None:
            probes += 1
        elif verify:
            proposal = choose.next_verification(asked)
        if proposal is None:
            break
        runs.append(_run(oracle, proposal, len(runs), plan.strategy))
        # A sampler must find the rate that it asked for, or it would ask for it again.
        asked.append(replace(runs[-1], x=proposal.x))
    return Result(runs, probes, {label: _borders(plan, runs, label) for label in plan.labels})


def _borders(plan: BorderPlan, runs: list[Seen], label: Label) -> dict[float, float | None]:
    model = BorderModel(label, plan.plane, plan.seeds, border_runs(label, runs, probe_horizon(label)))
    return dict(zip(plan.plane.across[0].values, (row.border for row in model.columns), strict=True))


def _run(oracle: Oracle, proposal: Proposal, number: int, strategy: Strategy) -> Seen:
    column, x = oracle.setup.columns[proposal.column], round(round(proposal.x / SPACING + 1e-6) * SPACING, 2)
    seen = Seen(number, "map", proposal.column, proposal.seed, x, proposal.label, proposal.horizon, None)
    if strategy != "mapper" and (assumed := _far_below(oracle, column, proposal.seed, x, strategy)):
        return replace(seen, observation=assumed)
    return replace(seen, observation=oracle.probe(column, proposal.seed, x, proposal.label, proposal.horizon))


def _far_below(oracle: Oracle, column: float, seed: int, x: float, strategy: Strategy) -> Observation | None:
    """A whole run that needs no training to be known, but for TPE, which hangs on its loss."""
    mine = [r for r in oracle.records.values() if (r.column, r.seed) == (column, seed)]
    if strategy == "tpe" or x >= oracle.floor(column, seed):
        return None
    nearest = min(mine, key=lambda r: abs(r.x - x))
    blowup = nearest.probe("blowup", TRUTH_STEPS) if abs(nearest.x - x) < 0.06 else None
    total, image = nearest.total_steps, nearest.mean_image_loss
    step = blowup.blowup_step if blowup else None
    return Observation(
        steps=total,
        total_steps=total,
        first_loss=4 * image,
        peak_loss=40 * image,
        recent_loss=0.9 * image,
        recent_median=0.9 * image,
        recent_peak=image,
        settled_loss=image,
        mean_image_loss=image,
        blowup_step=step,
        nonfinite_step=None,
    )


def grid_cost(oracle: Oracle, seeds: tuple[int, ...], price: Price) -> tuple[int, float]:
    """Steps and seconds of unstopped runs, 0.25 decades apart, over the whole range, all cells."""
    plan = BorderPlan(plane=oracle.setup.plane, seeds=seeds, strategy="grid")
    return price.of(execute(oracle, plan, verify=False).runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--plane", choices=sorted(SETUPS), default="depth")
    parser.add_argument("--train", type=int, nargs=2, metavar=("COLUMN", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="those that are trained")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    oracle = Oracle(options.cache, SETUPS[options.plane])
    if options.train:
        oracle.train_truth(*options.train)
        return
    oracle.assert_current()
    report(oracle, tuple(options.seeds), options.json)


def report(oracle: Oracle, seeds: tuple[int, ...], out: Path | None) -> None:
    price = Price(oracle)
    grid_steps, grid_seconds = grid_cost(oracle, seeds, price)
    columns = oracle.setup.columns
    cells = len(columns) * len(seeds)
    print(
        f"grid of 0.25: {grid_steps} steps, {grid_seconds:.0f} s; a column and seed {grid_steps / cells:.0f}"
    )
    rows: list[dict[str, Any]] = []
    for label in oracle.setup.labels:
        true = truth(oracle, label, seeds)
        shown = ", ".join(f"{oracle.setup.name} {d:g} {b:.2f} ({w:.2f} wide)" for d, (b, w) in true.items())
        print(
            f"\n{label}: {shown}\n\n| strategy | probes | steps | of the grid | seconds | error |\n"
            + "|---" * 6
            + "|"
        )
        for name, plan, verify in strategies(oracle.setup, label, seeds):
            began = time.perf_counter()
            result = execute(oracle, plan, verify)
            steps, seconds = price.of(result.runs)
            share = steps * (len(seeds) / len(plan.seeds)) / grid_steps
            found = result.borders[label]
            errors = [abs(b - true[d][0]) for d, b in found.items() if b is not None]
            error = float(np.mean(errors)) if len(errors) == len(columns) else math.nan
            per = ", ".join("none" if b is None else f"{b - true[d][0]:+.2f}" for d, b in found.items())
            print(
                f"| {name} | {len(result.runs)} | {steps} | 1/{1 / share:.1f} | {seconds:.0f} | "
                f"{error:.3f} ({per}) |"
            )
            rows.append(
                {"label": label, "strategy": name, "runs": len(result.runs), "steps": steps, "share": share}
                | {"seconds": seconds, "error": None if math.isnan(error) else error, "found": found}
                | {"decided_in": time.perf_counter() - began, "truth": true}
            )
    if out:
        out.write_text(json.dumps({"grid_steps": grid_steps, "rows": rows}, indent=1))


def strategies(setup: Setup, label: Label, seeds: tuple[int, ...]) -> list[tuple[str, BorderPlan, bool]]:
    """Name, plan, and whether it is verified."""
    plan = BorderPlan(plane=setup.plane, labels=(label,), seeds=seeds, step=0.2, precision=0.3)
    others: list[Strategy] = ["grid", "random", "sobol"]
    return [
        ("mapper, probes alone", plan, False),
        ("mapper, verified", plan, True),
        ("mapper to 0.15, probes alone", plan.model_copy(update={"precision": 0.15}), False),
        ("mapper to 0.15, verified", plan.model_copy(update={"precision": 0.15}), True),
        *((name, plan.model_copy(update={"strategy": name}), False) for name in others),
        ("tpe (seed 0)", plan.model_copy(update={"strategy": "tpe", "seeds": (0,)}), False),
    ]


if __name__ == "__main__":
    main()
