"""Does pruning pay? The cost to reach the unpruned study's best, replayed on stored learning curves.

    SWEEP_HOME=... python -m tests.benchmarks.pruning STUDY [--orders 20] [--json FILE]

The trials of a random sampler do not depend on each other, so their recorded objectives by epoch say what a
pruner would have done. The finished explore trials of a stored study are served in random orders; each is
asked after every epoch whether to end (`sweep.search.pruning`), and costs the epochs that it got. In each
order: the epochs until the study's best trial is at its end, as a share of the epochs without a pruner; and
whether the best was itself pruned, so that the study ends with a worse one. Pruning pays where the first is
clearly below 1 and the second does not happen.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.base import LAPTOP
from sweep.search.explore import Explore
from sweep.search.pruning import should_prune
from sweep.store.home import Home
from sweep.store.storage import open_optuna
from sweep.store.trials import TrialView
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import middle

PRUNERS = ("median", "percentile")


class Replayed:
    """As much of a study as a pruner looks at: the trials that have ended, and the running one."""

    direction = StudyDirection.MINIMIZE

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []

    def get_trials(self, deepcopy: bool = True) -> list[FrozenTrial]:
        return self.trials


def replay(trials: Sequence[FrozenTrial], pruner: str) -> list[int]:
    """Epochs that each trial gets, in this order; less than its own where it was pruned."""
    config = LAPTOP.model_copy(update={"pruner": pruner})
    study, epochs = Replayed(), []
    for number, stored in enumerate(trials):
        curve = dict(sorted(stored.intermediate_values.items()))
        running = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=stored.user_attrs)
        running.number = number
        study.trials.append(running)
        got = 0
        for epoch, value in curve.items():
            running.intermediate_values[epoch] = value
            got += 1
            asked = cast(Any, study), cast(Any, running)
            if should_prune(*asked, config):
                running.state, running.value = TrialState.PRUNED, value
                break
        else:
            running.state, running.value = TrialState.COMPLETE, stored.value
        epochs.append(got)
    return epochs


def rows_of(trials: Sequence[FrozenTrial], orders: int) -> list[Row]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    best = min(trials, key=lambda t: cast(float, t.value))
    rows = []
    for pruner in PRUNERS:
        shares, lost, spent = [], 0, []
        for seed in range(orders):
            order = random.Random(seed).sample(list(trials), len(trials))
            place = order.index(best)
            got, whole = replay(order, pruner), [len(t.intermediate_values) for t in order]
            spent.append(sum(got) / sum(whole))
            if got[place] < whole[place]:
                lost += 1
            else:
                shares.append(sum(got[: place + 1]) / sum(whole[: place + 1]))
        share = middle(shares) if shares else None
        rows.append(
            Row(
                f"pruner {pruner}, {len(trials)} trials, {orders} orders: epochs to the unpruned best",
                share.median if share else None,
                "x unpruned",
                share.interval if share else None,
                note=f"best pruned in {lost} of {orders}; whole study: {middle(spent).median:.2f} x",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    stored = optuna.load_study(study_name=o.study, storage=open_optuna(Home.find()))
    trials = [
        t
        for t in stored.get_trials(states=(TrialState.COMPLETE,))
        if TrialView(t).phase == Explore.name and t.intermediate_values
    ]
    if not trials:
        sys.exit(f"the study {o.study} has no finished explore trials with learning curves")
    show(rows_of(trials, o.orders), o.json)


if __name__ == "__main__":
    main()
