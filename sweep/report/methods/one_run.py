"""One run without a sweep: is the stable preset as good as a sweep's choice, and does a controller better it?

Of a study whose arms are called METHOD: CELL. Each claim compares two methods over the cells of the grid of
depths and lengths that both have, paired by seed: a seed's value is the mean of the log objective over them.
"""

import math
from collections.abc import Mapping, Sequence

from sweep.report.methods.claim import Claim, Table, decide, open_claim
from sweep.report.methods.contrast import Contrast, sample
from sweep.store.intervals import mean_interval
from sweep.store.trials import TrialView, confirmed
from sweep.study import Plan

STUDY = "one_run_study"
"""The study to run where its runs are missing."""
PRESET, UNBOUND = "preset", "preset without the bound"
SWEEP, BOUNDED_SWEEP = "sweep", "sweep with the bound"
GRID = "depth"
"""Claims are about the cells that begin with it; the others are in the table only."""
WORTH_SHIPPING = math.log(1.02)
"""What a controller must gain to be worth its complication."""

Runs = Mapping[str, Mapping[str, Sequence[TrialView]]]
"""Method -> cell -> its confirming runs."""


def objective(trial: TrialView) -> float | None:
    return trial.objective


def compares_methods(plan: Plan) -> bool:
    """Whether its arms are called METHOD: CELL, the preset and a sweep among the methods."""
    methods = {arm.name.partition(": ")[0] for arm in plan.arms if ": " in arm.name}
    return PRESET in methods and bool(methods & {SWEEP, BOUNDED_SWEEP})


def one_run_claims(trials: Sequence[TrialView]) -> list[Claim]:
    runs = by_method(trials)
    pairs = [
        (
            "sweep_plain",
            "Worth of a sweep: the plain model",
            "A sweep of the learning rate gives better models than one run with the stable preset.",
            (PRESET, SWEEP),
        ),
        (
            "sweep_bounded",
            "Worth of a sweep: the model with the bound",
            "A sweep of the bounded model gives better models than one run with the stable preset.",
            (PRESET, BOUNDED_SWEEP),
        ),
        (
            "bound",
            "Worth of the bound",
            "Without the bound on the log-variance the preset gives worse models.",
            (UNBOUND, PRESET),
        ),
    ]
    found = [
        _claim(key, title, statement, runs, *methods, smallest=None)
        for key, title, statement, methods in pairs
    ]
    for method in runs:
        if method not in (PRESET, UNBOUND, SWEEP, BOUNDED_SWEEP):
            key = "controller_" + "".join(c if c.isalnum() else "_" for c in method.lower())
            statement = f"The preset gives better models with this change, by 2 % or more: {method}."
            found.append(
                _claim(
                    key,
                    f"In place of the preset: {method}",
                    statement,
                    runs,
                    PRESET,
                    method,
                    smallest=WORTH_SHIPPING,
                )
            )
    return found


def by_method(trials: Sequence[TrialView]) -> dict[str, dict[str, list[TrialView]]]:
    found: dict[str, dict[str, list[TrialView]]] = {}
    for arm, runs in confirmed(trials).items():
        method, colon, cell = arm.partition(": ")
        if colon:
            found.setdefault(method, {})[cell] = runs
    return found


def _claim(
    key: str, title: str, statement: str, runs: Runs, worse: str, better: str, smallest: float | None
) -> Claim:
    """The claim predicts a larger objective of `worse`."""
    cells = [cell for cell in runs.get(worse, {}) if cell in runs.get(better, {}) and cell.startswith(GRID)]
    if not cells:
        missing = better if worse in runs else worse
        settle = f"Let `python -m sweep run {STUDY}` finish."
        return open_claim(key, title, statement, f"No confirming runs of {missing} yet.", settle)
    sides = [sample(name, [runs[name][cell] for cell in cells], objective) for name in (worse, better)]
    given = {} if smallest is None else {"smallest": smallest}
    contrast = Contrast("objective", sides[0], sides[1], paired=True, **given)
    tables = (methods_table(runs), cells_table(runs)) if key == "sweep_plain" else ()
    notes = ["Cells: " + "; ".join(cells) + "."]
    # Where many runs diverge this says more than the objectives of the others, and may be all there is.
    if any(side.lost for side in sides):
        notes += [_divergences(name, runs[name], cells) for name in (worse, better)]
    return decide(key, title, statement, [contrast], notes, tables, f": more seeds of `{STUDY}`")


def _divergences(method: str, runs: Mapping[str, Sequence[TrialView]], cells: Sequence[str]) -> str:
    """How many runs of it diverged, and in which cells."""
    lost = {cell: sum(run.diverged for run in runs[cell]) for cell in cells}
    where = "; ".join(f"{cell}: {count}" for cell, count in lost.items() if count)
    count = f"{sum(lost.values())} of {sum(len(runs[cell]) for cell in cells)}"
    return f"Diverged: {count} runs of {method}" + (f" ({where})." if where else ".")


def log_ratios(runs: Runs, method: str, reference: str, cells: Sequence[str]) -> dict[str, dict[int, float]]:
    """Cell -> seed -> log of the method's objective over the reference's; only cells without a gap."""
    found = {}
    for cell in cells:
        sides = [{r.seed: r.objective for r in runs.get(m, {}).get(cell, [])} for m in (method, reference)]
        pairs = {
            seed: math.log(sides[0][seed] / other)  # type: ignore[operator]
            for seed, other in sides[1].items()
            if seed is not None and other and sides[0].get(seed)
        }
        if pairs and len(pairs) == len(sides[0]) == len(sides[1]):
            found[cell] = pairs
    return found


def methods_table(runs: Runs) -> Table:
    grid = {cell: None for cells in runs.values() for cell in cells if cell.startswith(GRID)}
    rows = []
    for method, cells in runs.items():
        of_grid = [cell for cell in grid if cell in cells]
        every = [run for cell in of_grid for run in cells[cell]]
        row = [method, str(len(every)), str(sum(run.diverged for run in every))]
        for reference in (SWEEP, BOUNDED_SWEEP, PRESET):
            row += _summary(log_ratios(runs, method, reference, of_grid), len(of_grid), method == reference)
        rows.append(tuple(row))
    columns = ("method", "runs", "diverged")
    for name in ("sweep", "bounded sweep", "preset"):
        columns += (f"over the {name}'s", "worst cell")  # type: ignore[assignment]
    return Table(
        "Objective relative to that of a sweep's choice and of the preset, over the grid of depths and "
        "lengths: geometric mean, 95 % interval over seeds, and the cell with the largest mean; cells in "
        "which a run diverged are left out and counted",
        columns,
        tuple(rows),
    )


def _summary(ratios: Mapping[str, Mapping[int, float]], cells: int, same: bool) -> list[str]:
    if same or not ratios:
        return ["-", "-"]
    seeds = set.intersection(*(set(pairs) for pairs in ratios.values()))
    spread = mean_interval([sum(p[seed] for p in ratios.values()) / len(ratios) for seed in sorted(seeds)])
    if spread is None:
        return ["-", "-"]
    mean, low, high = (f"{math.exp(value):.3f}" for value in spread)
    left_out = f", {cells - len(ratios)} of {cells} cells left out" if len(ratios) < cells else ""
    worst = max(ratios, key=lambda cell: _mean(ratios[cell]))
    return [f"{mean} ({low} to {high}{left_out})", f"{math.exp(_mean(ratios[worst])):.3f} ({worst})"]


def _mean(pairs: Mapping[int, float]) -> float:
    return sum(pairs.values()) / len(pairs)


def cells_table(runs: Runs) -> Table:
    """The preset in every cell, those beside the grid too."""
    rows = []
    for cell, preset in runs.get(PRESET, {}).items():
        row = [cell, str(len(preset)), str(sum(run.diverged for run in preset))]
        for reference in (SWEEP, BOUNDED_SWEEP):
            pairs = log_ratios(runs, PRESET, reference, [cell]).get(cell)
            chosen = runs.get(reference, {}).get(cell, [])
            lr = chosen[0].lr if chosen else None
            row.append("-" if lr is None else f"{lr:.2g}")
            spread = mean_interval(list(pairs.values())) if pairs else None
            row.append("-" if spread is None else "{:.3f} ({:.3f} to {:.3f})".format(*map(math.exp, spread)))
        searched = [n for run in preset if (n := run.number_of("lr/border_search_steps")) is not None]
        row.append(f"{max(searched):.0f}" if searched else "0")
        rows.append(tuple(row))
    columns = ("cell", "runs", "diverged", "sweep's rate", "preset over it")
    columns += ("bounded sweep's rate", "preset over it", "steps of probes")  # type: ignore[assignment]
    return Table("The preset against both sweeps by cell, paired by seed", columns, tuple(rows))
