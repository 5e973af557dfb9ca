"""Ending a trial early that is worse than its peers, by the validation objective.

Explored trials by Optuna's pruners, where the config asks for one; runs of a block by the rule of the plan's
blocks, which was fixed before the data.
"""

import math
from collections.abc import Mapping

import optuna
from optuna.pruners import BasePruner, MedianPruner, PercentilePruner
from optuna.trial import FrozenTrial, TrialState

from sweep.store.optuna_internals import frozen
from sweep.store.trials import BLOCK, TrialView, views
from sweep.study import Blocks
from sweep.study.config import TrialConfig

STARTUP_TRIALS = 5
WORST_PERCENT = 25.0
PEERS = 200
"""This many of the latest are compared: more would change no median and cost time after every epoch."""


def should_prune(study: optuna.Study, trial: optuna.Trial, config: TrialConfig) -> bool:
    """Whether `config.pruner` says so of the trial as reported so far.

    Its peers are the trials of its phase and arm: another depth's objective is no measure. Only the explore
    phase prunes; a map, and what confirms a result, need every run to its end.
    """
    if config.pruner == "none" or not TrialView(frozen(trial)).is_explored:
        return False
    trials = study.get_trials(deepcopy=False)
    mine = next(t for t in reversed(trials) if t.number == trial.number)
    group = TrialView(mine).group
    finished = (t for t in trials if t.state is TrialState.COMPLETE)
    peers = [t for t in finished if TrialView(t).group == group][-PEERS:]
    # Optuna's pruners look at all trials of a study: theirs are the peers.
    view = optuna.create_study(direction=study.direction)
    view.add_trials([_copy(t) for t in peers])
    return _pruner(config.pruner).prune(view, mine)


def is_behind(study: optuna.Study, trial: optuna.Trial, config: TrialConfig, blocks: Blocks) -> bool:
    """Whether a run of a block has come to the rung, and is far behind another of its arm and block there.

    What counts is the best epoch so far: at a large rate a single one may be bad.
    """
    view = TrialView(frozen(trial))
    if view.phase != BLOCK or not blocks.rung:
        return False
    rung = max(1, round(blocks.rung * config.epochs))
    trials = study.get_trials(deepcopy=False)
    mine = trials[trial.number].intermediate_values
    if max(mine, default=0) != rung or rung >= config.epochs:
        return False
    place = BLOCK, view.block, view.arm
    peers = [t for t in views(trials) if t.finished and (t.phase, t.block, t.arm) == place]
    reached = [_best_until(rung, peer.stored.intermediate_values) for peer in peers]
    return _best_until(rung, mine) > (1 + blocks.behind) * min(reached, default=math.inf)


def _best_until(epoch: int, objectives: Mapping[int, float]) -> float:
    return min((value for at, value in objectives.items() if at <= epoch), default=math.inf)


def _pruner(name: str) -> BasePruner:
    # No trial is judged before its first three epochs.
    if name == "median":
        return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=3)
    return PercentilePruner(100.0 - WORST_PERCENT, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=3)


def _copy(trial: FrozenTrial) -> FrozenTrial:
    return optuna.trial.create_trial(value=trial.value, intermediate_values=trial.intermediate_values)
