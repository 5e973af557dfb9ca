"""The border of one label over a plane, from runs: what is known of it, and how well."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sweep.border.gaussian_process import PARAMETER_POINTS, Ints, Posterior
from sweep.border.link import Floats
from sweep.border.mapper import Point, Task, posterior
from sweep.study.border_plan import Plane
from vae.stability.labels import Label

Status = Literal["found", "above", "below", "empty"]
BAND = 0.90
DRAWS = 4000
RAGGED = 0.1
"""Share of the runs below a border that cross it too, from which on it is called ragged."""
LINE_SPREAD = 0.1
"""Where the border lies within so many decades of a straight line (or within its band), it is called one."""


@dataclass(frozen=True)
class BorderRun:
    """A finished run in the plane: its column (an index), seed, x = log10 of the searched setting, whether it
    crossed, the steps it took, and its trial.
    """

    column: int
    seed: int
    x: float
    crossed: bool
    steps: int
    trial: int


@dataclass(frozen=True)
class ColumnBorder:
    """log10 of the searched setting at the border of a column: median and the ends of the band.

    status: `found`; `above` or `below` the searched range (no run crossed; none was stable), where border
    and band are None; `empty`, no run yet.
    """

    column: int
    name: str
    status: Status
    border: float | None
    low: float | None
    high: float | None
    runs: int
    steps: int


@dataclass(frozen=True)
class Line:
    """Least squares through the borders of the columns: border = offset + sum of slope times position.

    slopes: name of an axis -> slope, with the ends of its 95 % interval, which holds both the band of the
    borders and their scatter about the line (Student's t); None without a column to spare.
    worst: largest distance of a column from it, in decades. is_line: that is within 0.1 or within the band.
    """

    offset: float
    slopes: dict[str, tuple[float, float | None, float | None]]
    worst: float
    is_line: bool
    columns: int


class BorderModel:
    """The posterior of one label's border. Runs whose status is not known have no place in it."""

    def __init__(self, label: Label, plane: Plane, seeds: Sequence[int], runs: Sequence[BorderRun]) -> None:
        self.label, self.plane, self.seeds, self.runs = label, plane, tuple(seeds), tuple(runs)

    @cached_property
    def task(self) -> Task:
        z = np.array([self.plane.unit(column) for column in self.plane.columns])
        return Task(z, self.seeds, math.log10(self.plane.low), math.log10(self.plane.high))

    @cached_property
    def posterior(self) -> Posterior:
        points = [Point(run.column, run.seed, run.x, run.crossed) for run in self.runs]
        return posterior(self.task, points, PARAMETER_POINTS)

    @cached_property
    def _draws(self) -> tuple[Floats, Ints]:
        """Of the border at every column, and which parameters each goes with."""
        draws, chosen = self.posterior.draw(self.task.z, DRAWS)
        return draws + self.task.middle, chosen

    @property
    def sigma(self) -> float | None:
        """Width of the border in decades, of seeds and runs together; None where it was not found."""
        return float(np.median(self.posterior.parameters.sigma[self._draws[1]])) if self.is_found else None

    @property
    def tail(self) -> tuple[float, float] | None:
        """Share of the runs below the border that cross, and how many decades down (medians); None where the
        border was not found, or where that is fewer than one in ten."""
        if not self.is_found:
            return None
        link, chosen = self.posterior.parameters.link, self._draws[1]
        share = float(np.median(link.tail[chosen]))
        return (share, float(np.median(link.reach[chosen]))) if share >= RAGGED else None

    @property
    def is_found(self) -> bool:
        return any(border.status == "found" for border in self.columns)

    @cached_property
    def columns(self) -> list[ColumnBorder]:
        statuses = [self._status(column) for column in range(len(self.plane.columns))]
        found = "found" in statuses
        edges = np.quantile(self._draws[0], [0.5, (1 - BAND) / 2, (1 + BAND) / 2], axis=0) if found else ()
        rows = []
        for column, status in enumerate(statuses):
            mine = [run for run in self.runs if run.column == column]
            known = status == "found"
            middle, low, high = (float(e[column]) for e in edges) if known else (None, None, None)
            name = self.plane.name(self.plane.columns[column])
            steps = sum(run.steps for run in mine)
            rows.append(ColumnBorder(column, name, status, middle, low, high, len(mine), steps))
        return rows

    def _status(self, column: int) -> Status:
        crossed = {run.crossed for run in self.runs if run.column == column}
        if not crossed:
            return "empty"
        return "found" if len(crossed) == 2 else "below" if crossed == {True} else "above"

    def sentences(self) -> list[str]:
        """What is to be said of columns without a border in the range, one sentence each."""
        rows = [row for row in self.columns if row.status != "found"]
        return [f"{self.label} border at {row.name}: {self._why_none(row)}." for row in rows]

    def _why_none(self, row: ColumnBorder) -> str:
        """As far as the runs show: a few of them can miss a border that is ragged."""
        mine = [run for run in self.runs if run.column == row.column]
        if not mine:
            return "no run yet"
        these = f"the runs here ({len(mine)}, over {len({run.seed for run in mine})} of the seeds)"
        reached = [10**run.x for run in mine]
        if row.status == "above":
            return f"none of {these} crossed it up to {self.plane.searched}={max(reached):.3g}: it lies above"
        return f"all of {these} crossed it down to {self.plane.searched}={min(reached):.3g}: none is stable"

    def crossing(self, column: int, x: float) -> Floats:
        """P(crossed) of a run of a new seed at x in a column whose border was found, one a draw."""
        draws, chosen = self._draws
        return self.posterior.crossing(x - draws[:, column], chosen)

    def probability(self, settings: Mapping[str, Any]) -> float | None:
        """P(crossed) of a run with these flat settings and a new seed; None outside the plane."""
        distances = self._distances(settings)
        if distances is None:
            return None
        return float(self.posterior.crossing(-distances[0], distances[1]).mean())

    def distance(self, settings: Mapping[str, Any]) -> tuple[float, float, float] | None:
        """How far below the border a run is, in decades: median and the ends of the 90 % band.

        Negative above it. None outside the plane, or where no border was found.
        """
        distances = self._distances(settings)
        if distances is None:
            return None
        low, middle, high = np.quantile(distances[0], [(1 - BAND) / 2, 0.5, (1 + BAND) / 2])
        return float(middle), float(low), float(high)

    def _distances(self, settings: Mapping[str, Any]) -> tuple[Floats, Ints] | None:
        column = self.plane.column_of(settings)
        if column is None or self.plane.searched not in settings or not self.is_found:
            return None
        z = np.array([self.plane.unit(column)])
        draws, chosen = self.posterior.draw(z, DRAWS)
        return draws[:, 0] + self.task.middle - math.log10(settings[self.plane.searched]), chosen

    def line(self, features: Mapping[str, Sequence[float]] | None = None) -> Line | None:
        """The border as a straight line over the columns where it was found.

        features: name -> value of every column; default: the axes of the plane, on their own scales.
        None with fewer columns than a line has numbers, or where these cannot be told apart.
        """
        if features is None:
            if not self.plane.across:
                return None
            features = {
                axis.name: [axis.position(column[i]) for column in self.plane.columns]
                for i, axis in enumerate(self.plane.across)
            }
        rows = [row.column for row in self.columns if row.status == "found"]
        design = np.column_stack([np.ones(len(rows)), *(np.array(f)[rows] for f in features.values())])
        if len(rows) < design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
            return None
        return _line(self._draws[0][:, rows], design, list(features))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: what is known, and the runs that it comes from."""
        line = self.line()
        return {
            "label": self.label,
            "plane": self.plane.model_dump(mode="json"),
            "seeds": list(self.seeds),
            "sigma": self.sigma,
            "tail": self.tail,
            "columns": [asdict(row) for row in self.columns],
            "line": None if line is None else asdict(line),
            "sentences": self.sentences(),
            "runs": [asdict(run) for run in self.runs],
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> "BorderModel":
        """The same model again: inference from the same runs gives the same numbers."""
        plane = Plane.model_validate(facts["plane"])
        return cls(facts["label"], plane, facts["seeds"], [BorderRun(**run) for run in facts["runs"]])


def _line(draws: Floats, design: Floats, names: list[str]) -> Line:
    """draws (D, n) of n borders, design (n, p) with a first column of ones."""
    spare = design.shape[0] - design.shape[1]
    from scipy import stats  # half a second that a run need not wait for

    inverse = np.linalg.pinv(design)
    coefficients = draws @ inverse.T
    residuals = draws - coefficients @ design.T
    middle = np.median(draws, axis=0)
    fitted = inverse @ middle
    off = np.abs(middle - design @ fitted)
    low, high = np.quantile(draws, [(1 - BAND) / 2, (1 + BAND) / 2], axis=0)
    slopes: dict[str, tuple[float, float | None, float | None]] = {}
    for i, name in enumerate(names, start=1):
        ends: tuple[float | None, float | None] = (None, None)
        if spare > 0:
            # Each draw's own regression: its estimate, and Student's t times its standard error.
            error = np.sqrt((residuals**2).sum(1) / spare * (inverse[i] @ inverse[i]))
            noise = stats.t(spare).rvs(len(draws), random_state=np.random.default_rng(i))
            low_end, high_end = np.quantile(coefficients[:, i] + noise * error, [0.025, 0.975])
            ends = float(low_end), float(high_end)
        slopes[name] = (float(fitted[i]), *ends)
    return Line(
        offset=float(fitted[0]),
        slopes=slopes,
        worst=float(off.max()),
        is_line=bool((off <= np.maximum(LINE_SPREAD, (high - low) / 2)).all()),
        columns=len(design),
    )
