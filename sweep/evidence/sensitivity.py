"""Learning-rate sensitivity of an arm over the grid of its blocks (Wortsman et al. 2023, arXiv 2309.14322).

There it is the expectation, over rates log-uniform on the range that is searched, of
min(loss at the rate, loss at initialisation) - loss at the best rate. Here a block gives one such value: the
rates of its grid count alike, and the losses are validation objectives. So an arm has one value a block, and
the mean over blocks an interval.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep.store.intervals import mean_interval
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan

FIRST_LOSS = "border/first_loss"
Spread = tuple[float, float, float]
"""A mean with the ends of its 95 % t interval over blocks."""


@dataclass(frozen=True)
class RateExcess:
    """At one rate of the grid: the mean excess over blocks as a share of the best, and in how many of them it
    diverged, or was ended at the rung."""

    rate: float
    relative: float
    low: float
    high: float
    diverged: int
    ended_early: int


@dataclass(frozen=True)
class ArmSensitivity:
    """excess: in units of the objective; relative: as a share of the block's best. blocks: how many give a
    value; lost: further ones, in which every rate diverged. start_known: whether the loss at initialisation
    was recorded; where it was not, the worst finite objective of the arm in the block stands for it.
    """

    arm: str
    blocks: int
    lost: int
    excess: Spread
    relative: Spread
    start_known: bool
    rates: Sequence[RateExcess]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def excesses(losses: Mapping[float, float], start: float) -> dict[float, float]:
    """min(loss, start) - best by rate, not below 0; empty where no loss is finite.

    losses: by rate, infinite where training diverged. start: the loss at initialisation.
    """
    best = min(losses.values(), default=math.inf)
    if not math.isfinite(best):
        return {}
    return {rate: max(0.0, min(loss, start) - best) for rate, loss in sorted(losses.items())}


def arm_sensitivities(plan: Plan | None, trials: Sequence[TrialView]) -> list[ArmSensitivity]:
    """Of the arms with at least two rates in at least two blocks, in the plan's order.

    Left out are blocks that an arm has not finished, arms whose best objective is not positive somewhere, as
    shares of it would mean nothing, and all of them where the plan has no blocks.
    """
    if plan is None or plan.blocks is None:
        return []
    whole = whole_blocks(trials)
    found = (_of_arm(arm.name, list(whole.get(arm.name, {}).values())) for arm in plan.block_arms())
    return [row for row in found if row is not None]


def whole_blocks(trials: Sequence[TrialView]) -> dict[str, dict[int, list[TrialView]]]:
    """Arm -> block -> its runs, where all that the arm tries there has ended with a result."""
    runs: dict[tuple[str, int], dict[int, TrialView]] = {}
    for trial in trials:
        if trial.phase == BLOCK and trial.block is not None and trial.ended:
            runs.setdefault((trial.arm, trial.block), {})[trial.point] = trial
    whole: dict[str, dict[int, list[TrialView]]] = {}
    for (arm, block), points in sorted(runs.items()):
        if len(points) >= max(run.points for run in points.values()):
            whole.setdefault(arm, {})[block] = list(points.values())
    return whole


def _of_arm(arm: str, blocks: Sequence[Sequence[TrialView]]) -> ArmSensitivity | None:
    values: list[dict[float, float]] = []
    bests: list[float] = []
    known = True
    for block in blocks:
        losses = losses_by_rate(block)
        start, recorded = _start(block, losses)
        value = excesses(losses, start)
        if len(losses) < 2:
            return None
        if value:
            values.append(value)
            bests.append(min(losses.values()))
            known = known and recorded
    if len(values) < 2 or min(bests) <= 0:
        return None
    means = [statistics.fmean(value.values()) for value in values]
    excess = mean_interval(means)
    relative = mean_interval([mean / best for mean, best in zip(means, bests, strict=True)])
    assert excess is not None
    assert relative is not None
    shares = [{r: e / best for r, e in v.items()} for v, best in zip(values, bests, strict=True)]
    rates = [_at_rate(rate, shares, blocks) for rate in sorted(set().union(*shares))]
    return ArmSensitivity(arm, len(values), len(blocks) - len(values), excess, relative, known, rates)


def _at_rate(
    rate: float, shares: Sequence[Mapping[float, float]], blocks: Sequence[Sequence[TrialView]]
) -> RateExcess:
    here = [share[rate] for share in shares if rate in share]
    mean, low, high = mean_interval(here) or (here[0], math.nan, math.nan)
    runs = [run for block in blocks for run in block if run.lr == rate]
    return RateExcess(rate, mean, low, high, sum(r.diverged for r in runs), sum(not r.finished for r in runs))


def losses_by_rate(block: Sequence[TrialView]) -> dict[float, float]:
    """By rate, the best over the grid's other settings. A run that was ended at the rung has its best until
    then, which more training could only have improved."""
    losses: dict[float, float] = {}
    for run in block:
        if run.lr is not None:
            seen = [v for v in run.stored.intermediate_values.values() if math.isfinite(v)]
            loss = run.objective if run.finished else min(seen, default=run.objective)
            losses[run.lr] = min(losses.get(run.lr, math.inf), math.inf if loss is None else loss)
    return losses


def _start(block: Sequence[TrialView], losses: Mapping[float, float]) -> tuple[float, bool]:
    first = [value for run in block if (value := run.number_of(FIRST_LOSS)) is not None]
    if first:
        return statistics.median(first), True
    return max((loss for loss in losses.values() if math.isfinite(loss)), default=math.inf), False
