"""Which figures a report has, in the order of the page."""

from collections.abc import Sequence

from sweep.report.evidence.depth import compared_depths
from sweep.report.figures.axes import objective_by_axis
from sweep.report.figures.border import border_figure, has_border_plane, quality_by_distance
from sweep.report.figures.curves import Curve, learning_curves
from sweep.report.figures.objective import depth_heat_map, objective_by_group, quality_by_volatility
from sweep.report.figures.settings import importance, parallel_coordinates
from sweep.report.figures.style import Figure
from sweep.report.plotted_map import PlottedMap
from sweep.store.trials import DEPTHS, TrialView
from sweep.study import Plan


def figures(
    trials: Sequence[TrialView],
    plan: Plan | None,
    borders: PlottedMap | None,
    curves: Sequence[tuple[str, TrialView, Curve]],
) -> list[Figure]:
    """Those that are about what the study varies; one that cannot be drawn yet says why."""
    found = [objective_by_group(trials, plan)]
    if plan is not None and plan.axes:
        found.append(objective_by_axis(trials, plan))
    if has_border_plane(plan, borders):
        found.append(border_figure(trials, borders, plan))
    if borders is not None and any(borders.column(trial) is not None for trial in trials):
        found.append(quality_by_distance(trials, borders))
    found += [quality_by_volatility(trials), learning_curves(curves)]
    if plan is None or (plan.axes and plan.border is None):
        found += [parallel_coordinates(trials), importance(trials)]
    if varies_depth(plan, trials):
        found.append(depth_heat_map(trials))
    return found


def varies_depth(plan: Plan | None, trials: Sequence[TrialView]) -> bool:
    """Whether a depth is an axis, or tells arms apart; without a plan, whether trials differ in it."""
    if plan is None:
        return len({trial.depths for trial in trials}) > 1
    return any(axis.path in DEPTHS for axis in plan.axes) or len(compared_depths(plan)) > 1
