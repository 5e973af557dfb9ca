"""Border of stability: the published claim is that training does best close below it.

Rests on full runs at set distances below the border (phase `distance`), the same distances and seeds in
every column of the map. Runs that a sampler chose are shown and not tested: it chose them by their outcome.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from sweep.report.evidence.claim import Claim, Table, decide, open_claim
from sweep.report.evidence.contrast import Contrast, sample
from sweep.report.evidence.depth import objective
from sweep.report.plotted_map import PlottedMap
from sweep.store.intervals import mean_interval
from sweep.store.trials import TrialView

KEY, TITLE = "border", "Border of stability"
STATEMENT = "The best objective is reached close below the border of stability, within half a decade of it."
NEAR, MIDDLE, FAR = (0.0, 0.5), (0.5, 1.25), (1.25, 2.5)
"""Bands of distance below the border, in decades of the learning rate."""
RUN = "`python -m sweep run border_study`"


def border_claim(trials: Sequence[TrialView], borders: PlottedMap | None) -> Claim:
    if borders is None:
        return open_claim(KEY, TITLE, STATEMENT, "There is no map of the border for this study.", f"{RUN}.")
    runs = [t for t in trials if t.phase == "distance" and t.finished and borders.column(t) is not None]
    if not runs:
        why = "No runs were trained at set distances below the border."
        return open_claim(KEY, TITLE, STATEMENT, why, f"Let {RUN} finish.")
    bands = [_band(runs, borders, band) for band in (NEAR, MIDDLE, FAR)]
    near, middle, far = (
        sample(f"{low:g} to {high:g} decades below", arms, objective)
        for (low, high), arms in zip((NEAR, MIDDLE, FAR), bands, strict=True)
    )
    contrasts = [Contrast("objective", higher, near, paired=True) for higher in (middle, far)]
    notes = [f"Distances are from the {borders.label} border, found by {borders.source or 'a map'}."]
    notes += _optimum(runs, borders)
    return decide(KEY, TITLE, STATEMENT, contrasts, notes, (_table(bands),))


def _band(runs: Sequence[TrialView], borders: PlottedMap, band: tuple[float, float]) -> list[list[TrialView]]:
    """The band's runs by column, of a seed's runs in it the one nearest to its middle."""
    columns: dict[int, dict[int | None, TrialView]] = {}
    centre = sum(band) / 2
    for run in sorted(runs, key=lambda run: -abs((borders.distance(run) or 0.0) - centre)):
        distance, column = borders.distance(run), borders.column(run)
        if distance is not None and column is not None and band[0] < distance <= band[1]:
            columns.setdefault(column, {})[run.seed] = run
    return [list(by_seed.values()) for by_seed in columns.values()]


def _optimum(runs: Sequence[TrialView], borders: PlottedMap) -> list[str]:
    """Where a parabola through a seed's log objectives, less their column's mean, has its minimum."""
    places = []
    for seed in sorted({run.seed for run in runs if run.seed is not None}):
        points: list[tuple[float, float]] = []
        for column in {borders.column(run) for run in runs}:
            mine = [
                (distance, math.log(run.objective))
                for run in runs
                if run.seed == seed
                and borders.column(run) == column
                and run.objective
                and (distance := borders.distance(run)) is not None
            ]
            mean = statistics.fmean(value for _, value in mine) if mine else 0.0
            points += [(distance, value - mean) for distance, value in mine]
        if len({distance for distance, _ in points}) >= 3:
            square, slope, _ = np.polyfit([d for d, _ in points], [value for _, value in points], 2)
            lowest, highest = min(d for d, _ in points), max(d for d, _ in points)
            if square > 0:
                places.append(float(np.clip(-slope / (2 * square), lowest, highest)))
    spread = mean_interval(places)
    if spread is None:
        return ["Where the optimum lies cannot be said: too few seeds with three distances."]
    mean, low, high = spread
    return [
        f"The optimum lies {mean:.2f} decades below the border (95 % interval {low:.2f} to {high:.2f}, "
        f"{len(places)} seeds, a parabola for each)."
    ]


def _table(bands: Sequence[Sequence[Sequence[TrialView]]]) -> Table:
    rows = []
    for (low, high), columns in zip((NEAR, MIDDLE, FAR), bands, strict=True):
        runs = [run for column in columns for run in column]
        values = [run.objective for run in runs if run.objective is not None]
        epochs = [value for run in runs if (value := run.best_epoch) is not None]
        rows.append(
            (
                f"{low:g} to {high:g}",
                str(len(runs)),
                str(sum(run.diverged for run in runs)),
                f"{statistics.geometric_mean(values):.1f}" if values else "-",
                f"{sum(run.outcome == 'converged' for run in runs)} of {len(runs)}",
                f"{statistics.median(epochs):g}" if epochs else "-",
            )
        )
    names = ("decades below", "runs", "diverged", "objective", "stopped early", "best epoch (median)")
    return Table("Runs by distance below the border", names, tuple(rows))
