"""A study's claims, judged from its trials; and how many blocks it takes until they are decided."""

from collections.abc import Sequence
from functools import lru_cache

from sweep.evidence.finding import Judged
from sweep.evidence.judge import blocks_wanted, judge_blocks, judge_columns
from sweep.evidence.values import block_values, column_values
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Claim, Plan

_Frozen = tuple[tuple[str, tuple[tuple[str, tuple[tuple[int, float], ...]], ...]], ...]


def verdicts(plan: Plan | None, trials: Sequence[TrialView]) -> list[Judged]:
    """Every claim that the plan declares, on each of its endpoints."""
    if plan is None:
        return []
    values = _frozen(plan.claims, trials)
    columns = column_values(plan.claims, trials)
    most = plan.blocks.most if plan.blocks else 0
    found: list[Judged] = []
    for claim in plan.claims:
        found += _judged(claim, values, most) if claim.paired == "block" else judge_columns(claim, columns)
    return found


def wanted_blocks(plan: Plan, trials: Sequence[TrialView], asked: int = 0) -> int:
    """How many blocks there should be: those asked for by number, or those that the next look needs.

    0 where the plan has none. Those that are there stay.
    """
    if plan.blocks is None:
        return 0
    if asked:
        return min(asked, plan.blocks.most)
    claims = [claim for claim in plan.claims if claim.paired == "block"]
    if not claims:
        return plan.blocks.most
    values = _frozen(claims, trials)
    most = plan.blocks.most
    wanted = blocks_wanted(judged for claim in claims for judged in _judged(claim, values, most)) or 0
    return min(wanted, most)


def at_hand(trials: Sequence[TrialView]) -> int:
    """Blocks that have a run."""
    return len({trial.block for trial in trials if trial.phase == BLOCK})


def _frozen(claims: Sequence[Claim], trials: Sequence[TrialView]) -> _Frozen:
    values = block_values(claims, trials)
    return tuple(
        (key, tuple((arm, tuple(sorted(blocks.items()))) for arm, blocks in sorted(arms.items())))
        for key, arms in sorted(values.items())
    )


@lru_cache(maxsize=64)
def _judged(claim: Claim, values: _Frozen, most: int) -> tuple[Judged, ...]:
    """Remembered, as whoever hands out trials asks before each of them."""
    return judge_blocks(claim, {key: {arm: dict(has) for arm, has in arms} for key, arms in values}, most)
