"""The map of the border, as the report reads it, and how far below the border a run was trained."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.report.records import Record

LABELS = ("useless", "blowup", "nonfinite")
"""Distances are from the first of these that the map has: it is the least ragged, and means something."""


@dataclass(frozen=True)
class Column:
    """A border at fixed other settings: log10 of the learning rate, with the ends of its band."""

    settings: Mapping[str, Any]
    border: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class BorderMap:
    """label -> columns. `source` names the study that made it."""

    source: str
    labels: Mapping[str, Sequence[Column]]

    @property
    def label(self) -> str:
        """The label that distances are measured from."""
        return next(label for label in LABELS if self.labels.get(label))

    def distance(self, trial: Record) -> float | None:
        """Decades that the trial's learning rate lies below the border; None outside the map's columns."""
        rate = trial.number_of("optim.lr")
        if rate is None or rate <= 0:
            return None
        for column in self.labels[self.label]:
            if all(trial.value(path) == value for path, value in column.settings.items()):
                return column.border - math.log10(rate)
        return None

    def column(self, trial: Record) -> int | None:
        """The index of the trial's column."""
        for index, column in enumerate(self.labels[self.label]):
            if all(trial.value(path) == value for path, value in column.settings.items()):
                return index
        return None


def read(document: Mapping[str, Any]) -> BorderMap | None:
    """From `{"study": ..., "labels": {label: [{"column": {path: value}, "border": x, "band": [low, high],
    "runs": n}]}}`; None where no label has a column with a border."""
    labels = {}
    for label in LABELS:
        columns = [
            Column(c["column"], float(c["border"]), float(c["band"][0]), float(c["band"][1]), int(c["runs"]))
            for c in document.get("labels", {}).get(label, ())
            if c.get("border") is not None
        ]
        if columns:
            labels[label] = columns
    return BorderMap(str(document.get("study", "")), labels) if labels else None


def load(path: Path) -> BorderMap | None:
    """None where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return read(json.loads(text))
