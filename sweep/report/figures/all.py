"""Which figures a report has, in the order of the page."""

from collections.abc import Sequence

from sweep.report.figures.axes import objective_by_axis
from sweep.report.figures.border import border_figure, has_border_plane, quality_by_distance
from sweep.report.figures.curves import Curve, learning_curves
from sweep.report.figures.forest import Row, forest
from sweep.report.figures.grid_sensitivity import grid_sensitivity
from sweep.report.figures.importance import importance
from sweep.report.figures.infeasible import share_of_infeasible
from sweep.report.figures.objective import depth_heat_map, objective_by_group, quality_by_volatility
from sweep.report.figures.progress import best_so_far
from sweep.report.figures.sensitivity import rate_sensitivity
from sweep.report.figures.style import Figure
from sweep.report.figures.validation import validation_curves
from sweep.report.plotted_map import PlottedMap
from sweep.store.trials import DEPTHS, TrialView
from sweep.study import Plan


def figures(
    trials: Sequence[TrialView],
    plan: Plan | None,
    borders: PlottedMap | None,
    curves: Sequence[tuple[str, TrialView, Curve]],
    contrasts: Sequence[Row] = (),
) -> list[Figure]:
    """Those that are about what the study varies, and among them those of its search.

    contrasts: of the study's claims, with their blocks.
    """
    return [*_of_study(trials, plan, borders, curves, contrasts), *of_search(trials, plan)]


def _of_study(
    trials: Sequence[TrialView],
    plan: Plan | None,
    borders: PlottedMap | None,
    curves: Sequence[tuple[str, TrialView, Curve]],
    contrasts: Sequence[Row],
) -> list[Figure]:
    """One that cannot be drawn yet says why."""
    found = [objective_by_group(trials, plan)]
    blocks = forest(contrasts, "the first side over the second")
    if blocks is not None:
        found.append(blocks)
    if has_border_plane(trials, plan, borders):
        found.append(border_figure(trials, borders, plan))
    if borders is not None and any(borders.column(trial) is not None for trial in trials):
        found.append(quality_by_distance(trials, borders))
    found += [quality_by_volatility(trials), learning_curves(curves)]
    if varies_depth(plan, trials):
        found.append(depth_heat_map(trials))
    return found


def of_search(trials: Sequence[TrialView], plan: Plan | None) -> list[Figure]:
    """Whether the search is good enough: what google-research/tuning_playbook asks to look at.

    A figure that has nothing to say is left out.
    """
    searches = plan is None or (bool(plan.axes) and plan.border is None)
    found = [
        objective_by_axis(trials, plan),
        share_of_infeasible(trials, plan),
        validation_curves(trials, plan),
        best_so_far(trials, plan),
        rate_sensitivity(trials, plan),
        grid_sensitivity(trials, plan),
        importance(trials) if searches else None,
    ]
    return [figure for figure in found if figure is not None]


def varies_depth(plan: Plan | None, trials: Sequence[TrialView]) -> bool:
    """Whether a depth is an axis, or tells arms apart; without a plan, whether trials differ in it."""
    if plan is None:
        return len({trial.depths for trial in trials}) > 1
    return any(path in DEPTHS for path in (*(axis.path for axis in plan.axes), *_told_apart_by(plan)))


def _told_apart_by(plan: Plan) -> set[str]:
    """Settings in which two arms differ."""
    arms = [{**arm.settings, **arm.fixed} for arm in plan.arms]
    paths = {path for arm in arms for path in arm}
    return {path for path in paths if len({str(arm.get(path)) for arm in arms}) > 1}
