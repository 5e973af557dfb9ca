"""The first phase of most studies: every arm's trials in turn, proposed by the sampler."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from sweep.search.request import Phase, Request, originals
from sweep.store import keys
from sweep.store.trials import EXPLORE, views
from sweep.study import Plan


class Explore(Phase):
    """The sampler's trials, arm after arm, until `total` were asked for over all runs of the study."""

    name = EXPLORE

    def __init__(self, plan: Plan, total: int) -> None:
        self.plan, self.total = plan, total

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        asked = originals(trials, self.name)
        if len(asked) >= self.total:
            return None
        arm = self.plan.arm_of(len(asked))
        of_arm = sum(trial.arm == arm.name for trial in views(asked))
        attrs: dict[str, Any] = {keys.ARM: arm.name}
        if arm.name in self.plan.caps:
            attrs |= {keys.LR_CAP: self.plan.caps[arm.name], keys.CAPPED_BY: self.plan.capped_by}
        return Request(self.name, params=arm.point(of_arm), settings=arm.settings, attrs=attrs)

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        return max(0, self.total - len(originals(trials, self.name)))
