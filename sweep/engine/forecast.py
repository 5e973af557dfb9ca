"""What blocks will cost, by the trials that have ended, and what the time of a run can decide."""

import math
import statistics
from collections.abc import Sequence

from sweep.evidence.looks import LOOKS
from sweep.evidence.verdicts import at_hand, wanted_blocks
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan

SEEN = {6: 0.22, 9: 0.19, 13: 0.13, 20: 0.10}
"""Blocks at a look -> the smallest effect that a claim of two contrasts sees there with a power of .8, where
the log values of an arm have a standard deviation of SPREAD in a block (`sweep.evidence.power`)."""
SEEN_BY_PAIRS = {9: 0.16, 13: 0.13, 20: 0.10}
"""The same where one arm stands against one, which cannot be decided before 9 blocks."""
SPREAD = 0.08
SPARE = 1.2
"""A budget that is told has room for a machine that is slower for a while."""


def seconds_of_a_block(plan: Plan, trials: Sequence[TrialView]) -> float | None:
    """Seconds that one worker needs for a block; None where no trial has ended that tells.

    By the runs of blocks that have ended; before that by the others, as if none ended early.
    """
    assert plan.blocks is not None
    runs = sum(len(plan.tried_in_block(arm)) for arm in plan.block_arms())
    ended = [trial for trial in trials if trial.ended and trial.seconds]
    known = [trial.seconds or 0.0 for trial in ended if trial.phase == BLOCK]
    if not known:
        epochs = plan.blocks.settings.get("epochs", plan.base.epochs)
        whole = [trial for trial in ended if trial.epochs and not trial.diverged]
        known = [(t.seconds or 0.0) / (t.epochs or 1) * float(epochs) for t in whole]
    return statistics.fmean(known) * runs if known else None


def blocks_that_fit(
    plan: Plan, trials: Sequence[TrialView], workers: int, seconds_left: float | None
) -> int | None:
    """Those that are begun, and those that can be run in the time that is left; None where all can."""
    each = seconds_of_a_block(plan, trials)
    if each is None or seconds_left is None:
        return None
    return at_hand(trials) + max(0, math.floor(seconds_left * max(1, workers) / each))


def foretell(plan: Plan, trials: Sequence[TrialView], workers: int, seconds_left: float | None) -> str:
    """What a block costs, how many there is time for, and what it takes to look at the claims.

    Empty where it is not known yet. seconds_left: None where no time is set.
    """
    each = seconds_of_a_block(plan, trials)
    if each is None or plan.blocks is None:
        return ""
    runs = sum(len(plan.tried_in_block(arm)) for arm in plan.block_arms())
    words = f"blocks: {runs} runs each, about {duration(each / max(1, workers))}; {looks(plan)}"
    fit = blocks_that_fit(plan, trials, workers, seconds_left)
    if fit is None:
        return words
    words += f"; there is time for {min(fit, plan.blocks.most)}"
    more = to_next_look(plan, trials, workers)
    return words if more is None or fit >= more[0] else f"{words}; {more[0]} want --budget {budget(more[1])}"


def to_next_look(plan: Plan, trials: Sequence[TrialView], workers: int) -> tuple[int, float] | None:
    """Blocks at the next look at claims that are open, and about how many more seconds it takes.

    None where none is open, or it is not known how long a block takes.
    """
    wanted, there = wanted_blocks(plan, trials), at_hand(trials)
    each = seconds_of_a_block(plan, trials) if plan.blocks is not None else None
    if each is None or wanted <= there:
        return None
    return wanted, SPARE * each * (wanted - there) / max(1, workers)


def looks(plan: Plan) -> str:
    """When claims are looked at, and the smallest effects that are seen then with a power of .8."""
    assert plan.blocks is not None
    claims = [claim for claim in plan.claims if claim.paired == "block"]
    if not claims:
        return "no claim rests on them"
    pairs = all(claim.of_pairs for claim in claims)
    seen = SEEN_BY_PAIRS if pairs else SEEN
    taken = [look for look in LOOKS if look <= plan.blocks.most and look in seen]
    if not taken:
        return f"the plan has {plan.blocks.most} at most, and claims are looked at after {min(seen)}"
    effects = _list([round(100 * seen[look]) for look in taken])
    return f"the claims are looked at after {_list(taken)} of them, which see effects of {effects} %"


def duration(seconds: float) -> str:
    """As 40 s, 12 min or 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def budget(seconds: float) -> str:
    """At least as long, as the command line takes it: in minutes, and from an hour on in half hours."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{math.ceil(minutes / 30) / 2:g}h"


def _list(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
