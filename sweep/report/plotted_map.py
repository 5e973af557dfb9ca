"""The map of the border, as the report reads it, and how far below the border a run was trained."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.store.trials import LR, TrialView

LABELS = ("useless", "blowup", "nonfinite")


@dataclass(frozen=True)
class Column:
    """A border at fixed other settings: log10 of the learning rate, with the ends of its band.

    group: its place on all but the first axis of the plane, in words.
    """

    settings: Mapping[str, Any]
    border: float
    low: float
    high: float
    runs: int
    group: str = ""

    @property
    def name(self) -> str:
        return ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in self.settings.items())


@dataclass(frozen=True)
class PlottedMap:
    """source: the study that made it. labels: label -> columns. label: the one that distances are from.

    base: what a run has that sets nothing else.
    notes: the border's lines in words, and where whole runs speak against the probes.
    """

    source: str
    labels: Mapping[str, Sequence[Column]]
    label: str
    base: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the label that distances are measured from."""
        return self.labels[self.label]

    def column(self, trial: TrialView) -> int | None:
        """The index of the trial's column; None where it lies in none."""
        for index, column in enumerate(self.columns):
            if all(self._value(trial, path) == value for path, value in column.settings.items()):
                return index
        return None

    def distance(self, trial: TrialView) -> float | None:
        """Decades that the trial's learning rate lies below the border; None outside the map's columns."""
        column, lr = self.column(trial), trial.lr
        if column is None:
            return None
        if (aimed := trial.border_distance) is not None:
            return aimed
        return None if lr is None or lr <= 0 else self.columns[column].border - math.log10(lr)

    def _value(self, trial: TrialView, path: str) -> Any:
        value = trial.value(path)
        return self.base.get(path) if value is None else value


def read(
    document: Mapping[str, Any], label: str | None = None, base: Mapping[str, Any] | None = None
) -> PlottedMap | None:
    """From the JSON that `sweep map` writes; None where it has no border of the learning rate.

    label: the one that distances are from; None: the least ragged that was found.
    """
    labels = {}
    for name, part in document["labels"].items():
        plane = part["plane"]
        columns = [_column(plane, row) for row in part["columns"] if row["border"] is not None]
        if columns and plane["searched"] == LR:
            labels[name] = columns
    known = [name for name in (label, *LABELS) if name in labels]
    if not known:
        return None
    assert known[0] is not None
    notes = [*document.get("lines", ()), *(conflict["text"] for conflict in document.get("conflicts", ()))]
    return PlottedMap(str(document["study"]), labels, known[0], base or {}, notes)


def _column(plane: Mapping[str, Any], row: Mapping[str, Any]) -> Column:
    places = plane["cells"] or list(itertools.product(*(axis["values"] for axis in plane["across"])))
    place = list(zip(plane["across"], places[row["column"]], strict=True))
    return Column(
        settings={path: value for axis, value in place for path in axis["paths"]},
        border=row["border"],
        low=row["low"],
        high=row["high"],
        runs=row["runs"],
        group=", ".join(f"{axis['name']} {value:g}" for axis, value in place[1:]),
    )
