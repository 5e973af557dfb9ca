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

from sweep.border.model import BorderModel
from sweep.border.phases import chooser
from sweep.border.runs import PlacedRun, border_runs
from sweep.border.strategies import Proposal
from sweep.study.border_plan import BorderPlan, Strategy
from tests.benchmarks.border_truth import (
    SEEDS,
    SETUPS,
    SPACING,
    TRUTH_STEPS,
    Oracle,
    Setup,
    truth,
)
from vae.stability.labels import Label, Observation, probe_horizon


class Price:
    """Steps, and seconds of training at what a step of that column takes."""

    def __init__(self, oracle: Oracle) -> None:
        self.columns = oracle.setup.columns
        self.step_seconds = {}
        for column in self.columns:
            whole = [r for r in oracle.records.values() if r.column == column and len(r.losses) > 100]
            self.step_seconds[column] = float(np.median([r.seconds / len(r.losses) for r in whole]))

    def of(self, runs: Sequence[PlacedRun]) -> tuple[int, float]:
        steps = [(self.columns[run.column], run.observation.steps) for run in runs if run.observation]
        return sum(s for _, s in steps), sum(self.step_seconds[c] * s for c, s in steps)


@dataclass(frozen=True)
class Result:
    runs: list[PlacedRun]
    probes: int
    borders: dict[Label, dict[float, float | None]]


def execute(oracle: Oracle, plan: BorderPlan, verify: bool) -> Result:
    """One strategy, as the phases of a study run it."""
    choose = chooser(plan, oracle.setup.base)
    asked: list[PlacedRun] = []
    runs: list[PlacedRun] = []
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


def _borders(plan: BorderPlan, runs: list[PlacedRun], label: Label) -> dict[float, float | None]:
    model = BorderModel(label, plan.plane, plan.seeds, border_runs(label, runs, probe_horizon(label)))
    return dict(zip(plan.plane.across[0].values, (row.border for row in model.columns), strict=True))


def _run(oracle: Oracle, proposal: Proposal, number: int, strategy: Strategy) -> PlacedRun:
    column, x = oracle.setup.columns[proposal.column], round(round(proposal.x / SPACING + 1e-6) * SPACING, 2)
    seen = PlacedRun(number, "map", proposal.column, proposal.seed, x, proposal.label, proposal.horizon, None)
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
