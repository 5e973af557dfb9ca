"""The truth about a border: runs 0.1 decades apart, trained once and kept (`border_mapping` says more)."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from data_io import BatchLoader, TileSet, prepare
from studies.base import LAPTOP
from studies.border_sgd_clip_study import SGD
from sweep.store.home import Home
from sweep.study.border_plan import Across, Plane
from sweep.study.config import TrialConfig, with_settings
from vae.stability.labels import LABELS, BorderLabels, Horizon, Label, Observation, verdict
from vae.training.fit import fit
from vae.training.hooks import Hooks

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
