"""Tables and JSON on the terminal."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from sweep.store.groups import Group
from sweep.store.summary import Summary


def print_json(document: Any) -> None:
    """One document on stdout; raises where it holds what JSON cannot (nan, infinity)."""
    sys.stdout.write(json.dumps(document, indent=2, default=str, allow_nan=False) + "\n")


def show_status(summary: Summary) -> None:
    print(f"{summary.study} (scale {summary.scale}), {summary.seconds:.0f} s of running")
    print("trials:   " + ", ".join(f"{n} {state}" for state, n in summary.trials.items() if n))
    print("outcomes: " + ", ".join(f"{n} {name}" for name, n in summary.outcomes.items()))
    show_best(summary)


def show_best(summary: Summary) -> None:
    best = summary.best
    if best is None:
        print("best:     no trial has a finite objective")
        return
    print(f"best:     trial {best.trial}, objective {best.value:.2f}, run {best.run_id}")
    for path, value in best.params.items():
        print(f"          {path} = {f'{value:.4g}' if isinstance(value, float) else value}")


def show_depths(groups: Sequence[Group]) -> None:
    """The table by depth, as text."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="by depth (objective: validation loss an image, smaller is better)")
    for column in ("encoder", "decoder", "trials", "unstable", "best", "median", "lr of best", "confirmed"):
        table.add_column(column, justify="right")
    finite = [group.best for group in groups if group.best is not None]
    for group in groups:
        row = [
            str(group.encoder_depth),
            str(group.decoder_depth),
            str(group.trials),
            str(group.unstable),
            "-" if group.best is None else f"{group.best:.2f}",
            "-" if group.median is None else f"{group.median:.2f}",
            "-" if group.best_lr is None else f"{group.best_lr:.2g}",
            _confirmed(group),
        ]
        table.add_row(*row, style="bold" if finite and group.best == min(finite) else "")
    Console().print(table)


def _confirmed(group: Group) -> str:
    """Mean, 95 % interval, seeds."""
    if group.confirmed is None:
        return "-"
    mean, low, high = group.confirmed
    return f"{mean:.1f} ({low:.1f} to {high:.1f}, {group.seeds} seeds)"
