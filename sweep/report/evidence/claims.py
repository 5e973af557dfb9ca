"""The claims that a study can speak to, from its trials."""

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.report.evidence.border import border_claim
from sweep.report.evidence.claim import Claim
from sweep.report.evidence.depth import compared_depths, depth_claim, fixed_depth_claim, has_fixed_bottleneck
from sweep.report.evidence.one_run import compares_methods, one_run_claims
from sweep.report.evidence.tradeoff import CLIP, SCHEDULE, clip_claim, decay_claim
from sweep.report.plotted_map import PlottedMap
from sweep.store.trials import TrialView
from sweep.study import Plan

NO_CLAIM = (
    "None of the published claims is about what this study varies, so none is judged here; "
    "its tables and figures describe what was found."
)


@dataclass(frozen=True)
class Evidence:
    """study: its declared name. plan: None where this version cannot read it. control: the trials of
    `depth_control_study` in the same store."""

    study: str
    trials: Sequence[TrialView]
    plan: Plan | None = None
    control: Sequence[TrialView] = ()
    border: PlottedMap | None = None


def claims(evidence: Evidence) -> list[Claim]:
    """Those that are about what the study's plan varies; there may be none."""
    plan, trials = evidence.plan, evidence.trials
    if plan is None:
        return _without_plan(evidence)
    if compares_methods(plan):
        return one_run_claims(trials)
    found = []
    depths = compared_depths(plan)
    if len(depths) > 1 and has_fixed_bottleneck(plan, depths):
        found.append(fixed_depth_claim(trials))
    elif len(depths) > 1:
        found += [depth_claim(trials, evidence.study), fixed_depth_claim(evidence.control)]
    factors = factors_of(plan)
    if CLIP in factors:
        found.append(clip_claim(trials, factors))
    if SCHEDULE in factors:
        found.append(decay_claim(trials, factors))
    if plan.border is not None and plan.border.distances:
        found.append(border_claim(trials, evidence.border))
    return found


def factors_of(plan: Plan) -> frozenset[str]:
    """Settings that tell the arms apart: those that differ between two of them."""
    arms = [{**arm.settings, **arm.fixed} for arm in plan.arms]
    paths = {path for arm in arms for path in arm}
    return frozenset(path for path in paths if len({str(arm.get(path)) for arm in arms}) > 1)


def _without_plan(evidence: Evidence) -> list[Claim]:
    """By what the trials differ in: a claim about depth is all that they say without their arms."""
    depths = {trial.depth for trial in evidence.trials if trial.depth is not None}
    return [depth_claim(evidence.trials, evidence.study)] if len(depths) > 1 else []
