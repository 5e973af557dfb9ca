"""The unit of a relative clip norm: the median gradient norm of a short run of its own.

A loss summed over 12,288-150,528 values has gradient norms of 1e2-1e5, so an absolute clip norm means
different things at different sizes. The short run trains a throw-away copy for a fixed number of steps at a
fixed learning rate, unclipped: the unit depends on the model, the data and the seed, and on nothing that a
study searches.
"""

import statistics

from vae.config import OptimConfig, TrainConfig
from vae.training.sources import BatchSource
from vae.training.state import TrainState

UNIT_STEPS = 20
UNIT_LR = 1e-3


def clip_unit(config: TrainConfig, train: BatchSource) -> float:
    """Median over that run's steps of the global L2 gradient norm; the source's position is restored.

    Raises:
        ArithmeticError: no gradient norm of that run was finite.
    """
    position = train.state_dict()
    optim = OptimConfig(lr=UNIT_LR, lr_schedule="constant")
    state = TrainState(config.model_copy(update={"optim": optim}), train, None)
    # The final KL weight, which holds for most steps of a run.
    weight = config.objective.kl_weight
    norms: list[float] = []
    while len(norms) < UNIT_STEPS:
        for batch in train.epoch():
            norms.append(state.advance(batch, weight)["grad_norm"])
            if len(norms) == UNIT_STEPS:
                break
    train.load_state_dict(position)
    finite = [norm for norm in norms if norm < float("inf")]
    if not finite:
        raise ArithmeticError(f"no gradient of the {UNIT_STEPS}-step run at {UNIT_LR:g} was finite")
    return statistics.median(finite)
