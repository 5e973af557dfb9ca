"""A border map on the terminal: its tables, and a sentence for everything that is not a number."""

import math
from typing import Any

from sweep.border.map import BorderMap
from sweep.border.model import BorderModel
from vae.stability.labels import Label


def show_map(found: BorderMap) -> None:
    """The tables, and a sentence for all that has no number."""
    from rich.console import Console

    console = Console()
    for label, model in found.models.items():
        console.print(_table(found, label, model))
        for line in found.lines_in_words(label):
            print(line)
        for sentence in model.sentences():
            print(sentence)
    for conflict in found.conflicts:
        print(conflict)
    if found.trained:
        console.print(_trained_table(found))
    spent = "; ".join(f"{phase}: {s['runs']} runs, {s['steps']} steps" for phase, s in found.spent.items())
    print(f"spent: {spent}")


def _table(found: BorderMap, label: Label, model: BorderModel) -> Any:
    from rich.table import Table

    width = "" if model.sigma is None else f", {model.sigma:.2f} decades wide"
    if model.tail is not None:
        width += f", ragged: {model.tail[0]:.0%} of the runs cross to {model.tail[1]:.1f} decades below"
    table = Table(title=f"{label} border of {found.plan.plane.searched}: log10, 90 % band{width}")
    fan_ins = [] if None in found.fan_ins else ["head fan-in"]  # it is not known of every network
    for name in ("column", *fan_ins, "border", "band", "runs", "steps"):
        table.add_column(name, justify="left" if name == "column" else "right")
    for row, fan_in in zip(model.columns, found.fan_ins, strict=True):
        border = row.status if row.border is None else f"{row.border:.2f}"
        band = "" if row.low is None or row.high is None else f"{row.low:.2f} .. {row.high:.2f}"
        table.add_row(row.name, *(str(fan_in) for _ in fan_ins), border, band, str(row.runs), str(row.steps))
    return table


def _trained_table(found: BorderMap) -> Any:
    from rich.table import Table

    table = Table(title=f"whole runs at a distance below the {found.plan.distance_label} border (decades)")
    names = ("column", "seed", "distance", found.plan.plane.searched, "objective", "over the best", "outcome")
    for name in names:
        table.add_column(name, justify="left" if name == "column" else "right")
    best: dict[str, float] = {}
    for run in found.trained:
        best[run.column] = min(best.get(run.column, math.inf), run.objective or math.inf)
    for run in found.trained:
        value, ratio = "inf", ""
        if run.objective is not None:
            value, ratio = f"{run.objective:.1f}", f"{run.objective / best[run.column]:.2f}"
        row = (run.column, run.seed, f"{run.distance:g}", f"{10**run.x:.2g}", value, ratio, run.outcome)
        table.add_row(*map(str, row))
    return table
