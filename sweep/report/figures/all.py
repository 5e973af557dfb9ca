"""Which figures a report has, in the order of the page."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from sweep.report.bordermap import BorderMap
from sweep.report.figures.border import border_figure, quality_by_distance
from sweep.report.figures.curves import Series, learning_curves
from sweep.report.figures.objective import depth_heat_map, objective_by_arm, quality_by_volatility
from sweep.report.figures.settings import importance, parallel_coordinates
from sweep.report.figures.style import Figure
from sweep.store.trials import Record


def figures(
    trials: Sequence[Record],
    stored: Sequence[FrozenTrial],
    borders: BorderMap | None,
    curves: Sequence[tuple[str, Record, Series]],
) -> list[Figure]:
    """Every figure, those that cannot be drawn among them with the reason."""
    return [
        objective_by_arm(trials),
        border_figure(trials, borders),
        quality_by_distance(trials, borders),
        quality_by_volatility(trials),
        learning_curves(curves),
        parallel_coordinates(stored),
        importance(stored),
        depth_heat_map(trials),
    ]
