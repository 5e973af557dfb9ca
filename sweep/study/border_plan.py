"""The plan of a border study: the plane, the labels, how precise, and at what distances to train."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vae.stability.labels import LABELS, Label

Strategy = Literal["mapper", "grid", "random", "sobol", "tpe"]
Column = tuple[int | float, ...]
"""A column of the plane: a value for each axis that the border is mapped against."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Across(_Frozen):
    """An axis against which the border is mapped. All its config paths take the same value."""

    name: str
    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    values: Annotated[tuple[int | float, ...], Field(min_length=1)]
    log: bool = False

    def position(self, value: float) -> float:
        """The value on the axis' own scale: as it is, or its logarithm to base 10."""
        return math.log10(value) if self.log else float(value)

    def unit(self, value: float) -> float:
        """Scaled so that the values span [0, 1]; a single value is 0.5, whatever it is."""
        low, high = (self.position(pick(self.values)) for pick in (min, max))
        return (self.position(value) - low) / (high - low) if high > low else 0.5


class Plane(_Frozen):
    """One searched setting, on a logarithmic scale between `low` and `high`, against up to three others.

    across: empty for a single column. cells: the columns to map; empty means every combination of the values.
    """

    searched: str = "optim.lr"
    low: Annotated[float, Field(gt=0)] = 1e-5
    high: Annotated[float, Field(gt=0)] = 1e-1
    across: Annotated[tuple[Across, ...], Field(max_length=3)]
    cells: tuple[Column, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Plane":
        if self.low >= self.high:
            raise ValueError(f"the searched range of {self.searched} is empty: {self.low} to {self.high}")
        for cell in self.cells:
            fits = len(cell) == len(self.across)
            if not fits or any(v not in a.values for v, a in zip(cell, self.across, strict=True)):
                raise ValueError(f"the cell {cell} is not of the plane")
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.cells or tuple(itertools.product(*(axis.values for axis in self.across)))

    def settings(self, column: Column) -> dict[str, int | float]:
        """Config path -> value."""
        return {p: v for axis, v in zip(self.across, column, strict=True) for p in axis.paths}

    def name(self, column: Column) -> str:
        values = zip(self.across, column, strict=True)
        return ", ".join(f"{axis.name} {v:g}" for axis, v in values) or "the network"

    def unit(self, column: Column) -> list[float]:
        return [axis.unit(value) for axis, value in zip(self.across, column, strict=True)]

    def column_of(self, settings: Mapping[str, Any]) -> Column | None:
        """The column that flat settings (config path -> value) lie in; None where a path is missing.

        In a run of another study the paths of one axis may differ: their mean is taken.
        """
        place = []
        for axis in self.across:
            values = [settings[path] for path in axis.paths if path in settings]
            if len(values) < len(axis.paths):
                return None
            place.append(values[0] if len(set(values)) == 1 else sum(values) / len(values))
        return tuple(place)


class BorderPlan(_Frozen):
    """Map the borders of `labels` over a plane, verify, then train at distances below the border.

    step: height of the ladder's rungs, in decades. precision: wanted half-width of the 90 % band, in decades.
    cell_budget: most runs per seed and label with which a column is refined.
    verify: full-length probes per column that check what short ones called stable.
    distances: decades below the border of `distance_label` at which whole runs are trained, one per seed of
    `distance_seeds`, in the `distance_columns` (empty: in all).
    strategy, grid_step, trials_a_column: other ways to choose the runs, all with full-length probes: a grid,
    or a number of random, Sobol' or TPE trials per column and seed.
    """

    plane: Plane
    labels: Annotated[tuple[Label, ...], Field(min_length=1)] = LABELS
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    step: Annotated[float, Field(gt=0)] = 0.125
    precision: Annotated[float, Field(gt=0)] = 0.15
    cell_budget: Annotated[int, Field(ge=1)] = 8
    verify: Annotated[int, Field(ge=0)] = 1
    distances: tuple[Annotated[float, Field(ge=0)], ...] = ()
    distance_label: Label = "nonfinite"
    distance_seeds: tuple[int, ...] = (0,)
    distance_columns: tuple[Column, ...] = ()
    strategy: Strategy = "mapper"
    grid_step: Annotated[float, Field(gt=0)] = 0.25
    trials_a_column: Annotated[int, Field(ge=1)] = 17

    @model_validator(mode="after")
    def _distances_are_possible(self) -> "BorderPlan":
        if self.distances and self.distance_label not in self.labels:
            raise ValueError(f"distances below the {self.distance_label} border need it among the labels")
        strange = [column for column in self.distance_columns if column not in self.plane.columns]
        if strange:
            raise ValueError(f"distance_columns {strange} are not columns of the plane")
        return self

    def over(self, has: Callable[[str], bool]) -> "BorderPlan":
        """The plan over those axes of the plane whose settings there are; without any, over one column."""
        axes = self.plane.across
        kept = [i for i, axis in enumerate(axes) if all(map(has, axis.paths))]
        if len(kept) == len(axes):
            return self

        def over(columns: tuple[Column, ...]) -> tuple[Column, ...]:
            return tuple(dict.fromkeys(tuple(column[i] for i in kept) for column in columns)) if kept else ()

        across = tuple(axes[i] for i in kept)
        plane = self.plane.model_copy(update={"across": across, "cells": over(self.plane.cells)})
        return self.model_copy(update={"plane": plane, "distance_columns": over(self.distance_columns)})

    def trains_at(self, column: int) -> bool:
        """Whether runs at a distance are wanted in the column of that index."""
        return not self.distance_columns or self.plane.columns[column] in self.distance_columns

    @property
    def low(self) -> float:
        """The lower end of the searched range, as log10."""
        return math.log10(self.plane.low)

    @property
    def high(self) -> float:
        return math.log10(self.plane.high)
