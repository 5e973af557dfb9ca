"""What blocks will cost, by the trials that have ended, and what the time of a run can decide."""

import math
import statistics
from collections.abc import Sequence

from sweep.evidence.looks import LOOKS, next_look
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan


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


def blocks_begun(trials: Sequence[TrialView]) -> int:
    return len({trial.block for trial in trials if trial.phase == BLOCK})


def blocks_that_fit(
    plan: Plan, trials: Sequence[TrialView], workers: int, seconds_left: float | None
) -> int | None:
    """Those that are begun, and those that can be run in the time that is left; None where all can."""
    each = seconds_of_a_block(plan, trials)
    if each is None or seconds_left is None:
        return None
    return blocks_begun(trials) + max(0, math.floor(seconds_left * max(1, workers) / each))


def foretell(plan: Plan, trials: Sequence[TrialView], workers: int, seconds_left: float | None) -> str:
    """What a block costs, how many there is time for, and what it takes to look at the claims.

    Empty where it is not known yet. seconds_left: None where no time is set.
    """
    each = seconds_of_a_block(plan, trials)
    if each is None or plan.blocks is None:
        return ""
    each /= max(1, workers)
    runs = sum(len(plan.tried_in_block(arm)) for arm in plan.block_arms())
    done = blocks_begun(trials)
    looks = [look for look in LOOKS if look <= plan.blocks.most]
    words = f"blocks: {runs} runs each, about {duration(each)}; the claims are looked at after {_list(looks)} blocks"
    first = next_look(done)
    if seconds_left is None or first is None:
        return words
    fit = blocks_that_fit(plan, trials, workers, seconds_left) or done
    if fit >= first:
        return f"{words}; there is time for {min(fit, plan.blocks.most)}"
    need = duration(1.1 * each * (first - done))
    return f"{words}; there is time for {fit}, and {first} take about {need}: --budget {budget(1.1 * each * first)}"


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
