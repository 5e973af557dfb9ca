"""Arms whose tuned settings lie at the end of what they tried: they might do better beyond it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sweep.evidence.values import Chosen, chosen
from sweep.store.trials import TrialView
from sweep.study import Arm, Plan

SHARE = 0.5
"""Of its blocks from which on an arm is told to be at an end."""


@dataclass(frozen=True)
class AtEdge:
    """An arm took `value` of the setting `path`, the smallest or the largest that it tried, in `blocks` of
    `of` blocks."""

    arm: str
    path: str
    value: float
    end: str
    blocks: int
    of: int

    def __str__(self) -> str:
        return (
            f"{self.arm} took the {self.end} `{self.path}` that it tried, {self.value:g}, in {self.blocks} "
            f"of {self.of} blocks: it might do better beyond, which would weaken a verdict against it"
        )


def at_edges(plan: Plan | None, trials: Sequence[TrialView]) -> list[AtEdge]:
    """Of every arm and setting that blocks tune, where at least half of the blocks chose the same end."""
    if plan is None or plan.blocks is None:
        return []
    stands = chosen(trials)
    return [edge for arm in plan.block_arms() for edge in _of(plan, arm, stands.values())]


def _of(plan: Plan, arm: Arm, stands: Iterable[Chosen]) -> Iterator[AtEdge]:
    runs = [choice.run for choice in stands if choice.arm == arm.name and choice.run is not None]
    assert plan.blocks is not None
    for path in plan.blocks.grid:
        tried = {point[path] for point in plan.tried_in_block(arm).values() if path in point}
        numbers = sorted(v for v in tried if isinstance(v, int | float) and not isinstance(v, bool))
        if len(numbers) < 2 or len(numbers) < len(tried):
            continue
        for value, end in ((numbers[0], "smallest"), (numbers[-1], "largest")):
            taken = sum(run.value(path) == value for run in runs)
            if taken and taken >= SHARE * len(runs):
                yield AtEdge(arm.name, path, value, end, taken, len(runs))
