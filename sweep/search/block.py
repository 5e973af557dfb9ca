"""The phase that claims rest on: blocks, in each of which every arm tunes over the same grid.

A setting is tried in every arm before the next one, and the next one of an arm only when its last has
ended: so whether a run ends early depends on finished runs alone, however many workers there are. Where an
arm waits, the next block is begun, as far as blocks are wanted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from sweep.search.request import UNFINISHED, Phase, Request, of_phase
from sweep.store import keys
from sweep.store.trials import BLOCK, TrialView, views
from sweep.study import Arm, Plan

FIRST_SEED = 2_000_000
"""Far above those of the other phases."""
SPLIT_SEED = "data.split_seed"


class InBlocks(Phase):
    """Asks for every run of the first `wanted` blocks that none was asked for yet, whatever became of those.

    A block that was begun is finished, even where fewer are wanted now.
    """

    name = BLOCK

    def __init__(self, plan: Plan, wanted: int) -> None:
        assert plan.blocks is not None
        self.plan, self.wanted = plan, min(wanted, plan.blocks.most)

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        mine = views(of_phase(trials, self.name))
        busy = {(t.block, t.arm) for t in mine if t.state in UNFINISHED}
        return next(
            (r for r in self._missing(mine) if (r.attrs[keys.BLOCK], r.attrs[keys.ARM]) not in busy), None
        )

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        return sum(1 for _ in self._missing(views(of_phase(trials, self.name))))

    def _missing(self, mine: Sequence[TrialView]) -> Iterator[Request]:
        asked = {(trial.block, trial.arm, trial.point) for trial in mine}
        begun = max((trial.block or 0 for trial in mine), default=-1) + 1
        arms = [(arm, self.plan.tried_in_block(arm)) for arm in self.plan.block_arms()]
        for block in range(max(self.wanted, begun)):
            for number in range(1 + max(max(tried) for _, tried in arms)):
                for arm, tried in arms:
                    if number in tried and (block, arm.name, number) not in asked:
                        yield self._request(block, arm, number, tried)

    def _request(self, block: int, arm: Arm, number: int, tried: Mapping[int, dict[str, Any]]) -> Request:
        values = self.plan.in_block(arm, tried[number])
        axes = {axis.path for axis in self.plan.axes}
        return Request(
            self.name,
            params={path: value for path, value in values.items() if path in axes},
            settings={path: value for path, value in values.items() if path not in axes}
            | {SPLIT_SEED: block},
            seed=FIRST_SEED + block,
            attrs={keys.ARM: arm.name, keys.BLOCK: block, keys.POINT: number, keys.POINTS: len(tried)},
        )
