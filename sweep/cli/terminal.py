"""Tables and JSON on the terminal."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from sweep.evidence.finding import Judged
from sweep.evidence.sentences import disagreement
from sweep.store.groups import Group
from sweep.store.labels import settings_in_words
from sweep.store.summary import Summary


def print_json(document: Any) -> None:
    """One document on stdout; raises where it holds what JSON cannot (nan, infinity)."""
    sys.stdout.write(json.dumps(document, indent=2, default=str, allow_nan=False) + "\n")


def show_status(summary: Summary) -> None:
    print(f"{summary.study} (scale {summary.scale}), {summary.seconds:.0f} s of running")
    print("trials:   " + ", ".join(f"{n} {state}" for state, n in summary.trials.items() if n))
    print("outcomes: " + ", ".join(f"{n} {name}" for name, n in summary.outcomes.items()))
    if summary.blocks:
        print(f"blocks:   {summary.blocks} begun")
    show_best(summary)


def show_best(summary: Summary) -> None:
    best = summary.best
    if best is None:
        print("best:     no trial has a finite objective")
        return
    print(f"best:     trial {best.trial}, objective {best.value:.2f}, run {best.run_id}")
    for path, value in best.params.items():
        print(f"          {path} = {f'{value:.4g}' if isinstance(value, float) else value}")


def show_groups(title: str, groups: Sequence[Group]) -> None:
    """The table of a study's arms, or of the values of its axis; nothing where it has neither."""
    if not groups:
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    caption = f"by {title} (objective: validation loss an image, smaller is better)"
    table = Table(title=caption, box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(title, overflow="fold")
    for column in ("trials", "unstable", "best", "median"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings of the best", no_wrap=True, overflow="fold")
    are_confirmed = any(group.confirmed for group in groups)
    if are_confirmed:
        table.add_column("confirmed", justify="right", no_wrap=True)
    finite = [group.best for group in groups if group.best is not None]
    for group in groups:
        row = [
            escape(group.name),
            str(group.trials),
            str(group.unstable),
            "-" if group.best is None else f"{group.best:.2f}",
            "-" if group.median is None else f"{group.median:.2f}",
            escape("\n".join(settings_in_words(group.settings))) or "-",
            *([_confirmed(group)] if are_confirmed else []),
        ]
        table.add_row(*row, style="bold" if finite and group.best == min(finite) else "")
    Console().print(table)


def show_verdicts(judged: Sequence[Judged], notes: Sequence[str]) -> None:
    """The verdict on each claim and endpoint, with its reason, and further lines."""
    if not judged:
        return
    print("claims:")
    for each in judged:
        print(f"  {each.verdict:13} {each.claim.title} ({each.endpoint.title}): {each.why}")
    for claim in dict.fromkeys(each.claim for each in judged):
        said = disagreement(each for each in judged if each.claim == claim)
        if said:
            print(f"  {claim.title}: {said}")
    for note in notes:
        print(f"  {note.replace('`', '')}")


def show_border_end(name: str) -> None:
    """What a border study is for, at its end: it maps, and looks for no best model."""
    print(
        "\nA border study maps where training stops being stable: at every column of settings, the learning\n"
        "rate at which half of the runs cross the border, with its band. Most of its runs are probes, which\n"
        "end as soon as they have answered and have no objective."
    )
    print("\nnext:")
    print(f"  python -m sweep map {name:22} print the map, and write it as JSON, PNG and HTML")
    print(f"  python -m sweep report {name:19} write the report")


def _confirmed(group: Group) -> str:
    """Mean, 95 % interval and seeds, a line each."""
    if group.confirmed is None:
        return "-"
    mean, low, high = group.confirmed
    return f"{mean:.1f}\n{low:.4g} to {high:.4g}\n{group.seeds} seeds"
