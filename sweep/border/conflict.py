"""Where whole runs do not end as the probes foretold.

A map is made of probes, which are followed as far as their label asks; whole runs at a distance below the
border, over seeds that it was not mapped with, are its test. They are part of the map that is shown, and
where they speak against what the probes alone say, that is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.border.model import BorderModel, BorderRun
from vae.stability.labels import Label

LEVEL = 0.01
"""Of each side, for one column and label."""


@dataclass(frozen=True)
class Conflict:
    """Of `runs` whole runs in a column so many crossed, where the probes expected another number.

    p: how often the probes' map gives a number as far off on that side.
    """

    label: Label
    column: str
    runs: int
    crossed: int
    expected: float
    p: float

    def __str__(self) -> str:
        return (
            f"Conflict at {self.column}: {self.crossed} of {self.runs} whole runs crossed the {self.label} "
            f"border, where the probes alone foretell {self.expected:.1f} (p {self.p:.2g})."
        )


def conflicts(probes: BorderModel, whole: Sequence[BorderRun]) -> list[Conflict]:
    """probes: the model of a label that knows no whole run. whole: those runs."""
    found = []
    for row in probes.columns:
        mine = [run for run in whole if run.column == row.column]
        if row.border is None or not mine:
            continue
        # (draws, runs); given the border and how runs cross, runs are independent.
        p = np.stack([probes.crossing(row.column, run.x) for run in mine], axis=1)
        simulated = (np.random.default_rng(row.column).random(p.shape) < p).sum(1)
        crossed = sum(run.crossed for run in mine)
        tail = float(min((simulated >= crossed).mean(), (simulated <= crossed).mean()))
        if tail < LEVEL:
            found.append(Conflict(probes.label, row.name, len(mine), crossed, float(p.sum(1).mean()), tail))
    return found
