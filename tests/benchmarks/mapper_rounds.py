"""How soon is a border mapped where many probes run at once? Simulated, without training.

    python -m tests.benchmarks.mapper_rounds [--lanes 1 2 8 32] [--maps 2] [--json FILE]

A plan like those of `border_study`, at its laptop scale (five depths, three seeds, three labels, whole runs
at three distances), over synthetic borders of five kinds (`tests/sweep/border/synthetic.py`). A lane takes
the next trial of the study's phases as soon as it is free, and a probe lasts its steps. Means over the maps:

time     steps until the last lane is idle: mapped, checked, and with the whole runs at distances
mapped   the same without those whole runs
rounds   as `mapped`, where every probe takes the same time, whatever its steps
probes   and the steps they took together
error    mean distance of a found border from the true one, in decades
host     milliseconds of the processor for one decision, a probe
"""

import argparse
import heapq
import json
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.base import LAPTOP_32
from sweep.border.mapper import Point
from sweep.border.phases import column_fan_ins, models
from sweep.engine import agenda
from sweep.search.request import Request
from sweep.store import keys
from sweep.store.trials import DISTANCE, TrialView
from sweep.study import Plan
from sweep.study.border_plan import Across, BorderPlan, Plane
from tests.benchmarks.table import machine
from tests.sweep.border.synthetic import Crossing
from vae.stability.labels import LATE_FAN_IN, Label, Observation, verdict

KINDS = ("probit", "wide", "shared", "islands", "tail")
TOTAL = 624
LOWER: dict[Label, float] = {"nonfinite": 0.0, "blowup": 0.3, "useless": 0.45}
"""Decades by which the border of a label lies below the nonfinite one."""
SLOWEST, LATE_STEP, LATE_SHARE = 14, 90, 0.15
"""The last step at which a run goes, but for a share of those with a wide head."""


@dataclass(frozen=True)
class Truth:
    """What every run of a plan does, without training it."""

    border: BorderPlan
    nonfinite: Crossing
    wide: tuple[bool, ...]

    @classmethod
    def drawn(cls, plan: Plan, kind: str, seed: int) -> "Truth":
        border = plan.border
        assert border is not None
        wide = tuple((fan_in or 0) >= LATE_FAN_IN for fan_in in column_fan_ins(border, plan.base))
        seeds = max((*border.seeds, *border.distance_seeds)) + 1
        return cls(border, Crossing.drawn(kind, seed, len(wide), seeds), wide)

    def crosses(self, label: Label, column: int, seed: int, x: float) -> bool:
        return self.nonfinite.crosses(Point(column, seed, min(0.0, x + LOWER[label])))

    def half(self, label: Label) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The border of every column."""
        return self.nonfinite.half - LOWER[label]

    def observe(self, column: int, seed: int, x: float, label: Label | None, horizon: Any) -> Observation:
        """What a run sees until it ends: at its horizon, where it goes, or at its full length."""
        gone = self.crosses("nonfinite", column, seed, x)
        blown = gone or self.crosses("blowup", column, seed, x)
        useless = gone or self.crosses("useless", column, seed, x)
        chance = np.random.default_rng((self.nonfinite.seed, column, seed, round(-1e6 * x))).random()
        above = max(0.0, x - self.nonfinite.cells[column, seed])
        at = 1 + round(SLOWEST * np.exp(-above / 0.3))
        if self.wide[column] and chance < LATE_SHARE:
            at = LATE_STEP
        loss = 8.0 if useless else 1.0
        for steps in range(1, TOTAL + 1):
            over = steps > at
            seen = Observation(
                steps=steps,
                total_steps=TOTAL,
                first_loss=10.0,
                peak_loss=10.0,
                recent_loss=loss,
                recent_median=loss,
                recent_peak=loss,
                settled_loss=loss,
                mean_image_loss=5.0,
                blowup_step=at if blown and over else None,
                nonfinite_step=at if gone and over else None,
            )
            if seen.nonfinite_step is not None or (label and verdict(label, seen, horizon) is not None):
                return seen
        return seen


@dataclass
class Simulation:
    """A study in memory; `trials` are those of its store, and a run costs nothing but time on a clock."""

    plan: Plan
    truth: Truth
    lanes: int
    same_length: bool = False
    trials: list[FrozenTrial] = field(default_factory=list)
    host_s: float = 0.0
    now: float = 0.0
    mapped: float = 0.0

    def go(self) -> "Simulation":
        """Until nothing runs and nothing is asked for."""
        running: list[tuple[float, int, FrozenTrial]] = []
        order = count()
        while True:
            while requests := self._requests(self.lanes - len(running)):
                for request in requests:
                    trial = self._begun(request)
                    self.trials.append(trial)
                    seen = self._seen(trial)
                    ends = self.now + (1 if self.same_length else seen.steps)
                    heapq.heappush(running, (ends, next(order), self._ended(trial, seen)))
            if not running:
                return self
            self.now = running[0][0]
            while running and running[0][0] == self.now:  # what ends together is known together
                _, _, ended = heapq.heappop(running)
                self.trials[ended.number] = ended
                if TrialView(ended).phase != DISTANCE:
                    self.mapped = self.now

    def _requests(self, free: int) -> list[Request]:
        if not free:
            return []
        began = time.process_time()
        found = agenda.next_requests(agenda.phases(self.plan, 0), self.trials, free)
        self.host_s += time.process_time() - began
        return found

    def _begun(self, request: Request) -> FrozenTrial:
        number = len(self.trials)
        return FrozenTrial(
            number=number,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=None,
            datetime_complete=None,
            params=dict(request.params),
            distributions=dict.fromkeys(request.params, optuna.distributions.FloatDistribution(0, 1)),
            user_attrs=request.user_attrs(),
            system_attrs={},
            intermediate_values={},
            trial_id=number,
        )

    def _seen(self, trial: FrozenTrial) -> Observation:
        view, border = TrialView(trial), self.truth.border
        column = border.plane.columns.index(view.border_at)
        assert view.seed is not None
        return self.truth.observe(column, view.seed, view.border_x, view.border_label, view.border_horizon)

    def _ended(self, trial: FrozenTrial, seen: Observation) -> FrozenTrial:
        """A new object, as a store would give: the running one is what others saw."""
        whole = TrialView(trial).border_label is None
        facts = {f"{keys.BORDER}{key}": value for key, value in seen.as_dict().items()}
        return FrozenTrial(
            number=trial.number,
            state=TrialState.COMPLETE if whole else TrialState.PRUNED,
            value=1.0 if whole else None,
            datetime_start=None,
            datetime_complete=None,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs | facts,
            system_attrs={},
            intermediate_values={},
            trial_id=trial.number,
        )

    @property
    def steps(self) -> int:
        return sum(int(trial.user_attrs[f"{keys.BORDER}steps"]) for trial in self.trials)

    @property
    def error(self) -> float:
        border = self.truth.border
        found = models(border, self.plan.base, self.trials, probes_alone=True)
        errors = [
            abs(row.border - self.truth.half(label)[row.column])
            for label, model in found.items()
            for row in model.columns
            if row.border is not None
        ]
        return float(np.mean(errors))


def depths() -> Plan:
    both = ("model.encoder_depth", "model.decoder_depth")
    plane = Plane(across=(Across(name="depth", paths=both, values=(2, 3, 4, 6, 8)),), high=1.0)
    border = BorderPlan(
        plane=plane, step=0.25, cell_budget=6, distances=(0.3, 0.9, 1.5), distance_seeds=(10, 11, 12)
    )
    return Plan.for_border(LAPTOP_32, border)


def measure(plan: Plan, lanes: int, maps: int) -> dict[str, float]:
    rows = []
    for kind in KINDS:
        for seed in range(maps):
            truth = Truth.drawn(plan, kind, seed)
            timed = Simulation(plan, truth, lanes).go()
            counted = Simulation(plan, truth, lanes, same_length=True).go()
            rows.append(
                {
                    "time": timed.now,
                    "mapped": timed.mapped,
                    "rounds": counted.mapped,
                    "probes": len(timed.trials),
                    "steps": timed.steps,
                    "error": timed.error,
                    "host": 1000 * timed.host_s / len(timed.trials),
                }
            )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 8, 32])
    parser.add_argument("--maps", type=int, default=2, help="of each of the five kinds")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    plan = depths()
    print(machine()["processor"] + "\n")
    names = ("time", "mapped", "rounds", "probes", "steps", "error", "host")
    print("| lanes | " + " | ".join(names) + " |\n" + "| --- " * (len(names) + 1) + "|")
    table = {}
    for lanes in options.lanes:
        table[lanes] = found = measure(plan, lanes, options.maps)
        cells = (f"{found[name]:.3f}" if name == "error" else f"{found[name]:,.0f}" for name in names)
        print(f"| {lanes} | " + " | ".join(cells) + " |", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "lanes": table}, indent=1))


if __name__ == "__main__":
    main()
