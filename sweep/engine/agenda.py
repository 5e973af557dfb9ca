"""What a study does next: its phases in order, and the next request of the first that is not over."""

from collections.abc import Sequence
from itertools import accumulate
from operator import or_

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.border.phases import Distance, Map, Verify
from sweep.search.block import InBlocks
from sweep.search.confirm import Repeat
from sweep.search.explore import Explore
from sweep.search.request import UNFINISHED, Phase, Request, of_phase, originals
from sweep.store.study_view import StudyView
from sweep.study import Plan


def phases(plan: Plan, explore_total: int, blocks: int = 0) -> list[Phase]:
    """The phases of a plan, in the order in which they run. blocks: how many there should be."""
    if plan.border:
        return [kind(plan.border, plan.base) for kind in (Map, Verify, Distance)]
    found: list[Phase] = [Explore(plan, explore_total)]
    if plan.confirm is not None:
        found.append(Repeat(plan, plan.confirm, explore_total))
    if plan.blocks is not None:
        found.append(InBlocks(plan, blocks))
    return found


def is_one_phase(plan: Plan) -> bool:
    """Whether the study only explores, so that `trials` is the number of its runs."""
    return plan.border is None and plan.confirm is None and plan.blocks is None


def next_request(phases: Sequence[Phase], trials: Sequence[FrozenTrial]) -> Request | None:
    """The next request of the first phase that is not over; None where running trials must end first, or
    nothing is left."""
    return next(iter(next_requests(phases, trials, 1)), None)


def next_requests(phases: Sequence[Phase], trials: Sequence[FrozenTrial], count: int) -> list[Request]:
    """Trials that may start together, `count` at most, all of the first phase that has any.

    Fewer than `count` does not mean that there are no more: once these are in the store, another phase may
    have some.
    """
    under_way = [any(t.state in UNFINISHED for t in of_phase(trials, phase.name)) for phase in phases]
    in_blocks = any(isinstance(phase, InBlocks) for phase in phases)  # which depend on nothing
    busy = dict(zip(phases, accumulate(under_way, or_, initial=False), strict=False))
    for phase in sorted(phases, key=lambda phase: not phase.urgent) if any(under_way) else phases:
        if busy[phase] and phase.waits and not in_blocks:
            continue
        requests = phase.several(trials, count)
        if requests:
            return requests
    return []


def remaining(phases: Sequence[Phase], trials: Sequence[FrozenTrial]) -> int:
    """The number of trials still to start, as far as it is known now."""
    return sum(phase.remaining(trials) for phase in phases)


def explore_total(study: optuna.Study, more: int | None, default: int, goes_on: bool = True) -> int:
    """How many explore trials the study should have when this run is over, those of earlier runs included.

    more: the number that the user asked for; trials that wait in the queue count towards it. None finishes
    what an interrupted run left open, or adds `default` where nothing is open; not where blocks go on.
    """
    trials = study.get_trials(deepcopy=False)
    asked = len(originals(trials, Explore.name))
    if more is not None:
        waiting = sum(t.state is TrialState.WAITING for t in of_phase(trials, Explore.name))
        return asked + max(0, more - waiting)
    requested = StudyView.of(study).explore_total
    waiting_anywhere = any(t.state is TrialState.WAITING for t in trials)
    if not goes_on:
        return max(requested, default)
    return requested if requested > asked or waiting_anywhere else asked + default
