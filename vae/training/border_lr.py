"""The unit of a relative learning rate: the border of blowing up, found by a few short runs before a run.

Under SGD the best learning rate is about a decade below that border, wherever it is; under Adam the border is
a poor guide. The short runs are throw-away copies with a constant learning rate, the final KL weight, and no
bound on the encoder's log-variance, which would move the border. A learning rate that is decades too high
ends a run within a few steps, so the search goes down from above by decades; then it halves the decade.
"""

from dataclasses import dataclass

from vae.config import TrainConfig
from vae.stability.labels import verdict
from vae.training.sources import BatchSource
from vae.training.state import TrainState

PROBE_STEPS = 10
HIGHEST, LOWEST = 1, -7
"""log10 of the first and last learning rates that are tried."""
HALVINGS = 2
BUDGET = 0.1
"""Share of the run's own steps: the decade is halved only while the search is certain to stay within it."""


@dataclass(frozen=True)
class BorderLR:
    """lr: the largest learning rate found stable. The border is less than a decade above it (0.25 decades if
    the budget sufficed), or anywhere above it if it is the first that was tried. steps: optimizer steps of
    the search.
    """

    lr: float
    steps: int


def find_border_lr(config: TrainConfig, train: BatchSource, clip_norm: float | None) -> BorderLR:
    """The largest learning rate at which a fresh model does not blow up; the source's position is restored.

    clip_norm: absolute, for the policy `norm`; the other policies act as configured.

    Raises:
        ArithmeticError: no learning rate down to 1e-7 was stable.
    """
    position = train.state_dict()
    budget, steps = BUDGET * config.epochs * len(train), 0

    def is_stable(x: float) -> bool:
        nonlocal steps
        crossed, taken = _probe(config, train, clip_norm, 10.0**x)
        train.load_state_dict(position)
        steps += taken
        return not crossed

    x = float(HIGHEST)
    while not is_stable(x):
        x -= 1
        if x < LOWEST:
            raise ArithmeticError(f"no learning rate from {10.0**HIGHEST:g} to {10.0**LOWEST:g} is stable")
    width = 1.0
    for _ in range(HALVINGS if x < HIGHEST else 0):
        width /= 2
        if steps + PROBE_STEPS > budget:
            break
        if is_stable(x + width):
            x += width
    return BorderLR(10.0**x, steps)


def _probe(config: TrainConfig, train: BatchSource, clip_norm: float | None, lr: float) -> tuple[bool, int]:
    """Whether a run at a constant learning rate blows up within PROBE_STEPS, and the steps it took."""
    optim = config.optim.model_copy(
        update={"lr": lr, "lr_schedule": "constant", "lr_warmup_fraction": 0.0, "skip": "none"}
        | {"controller": "none", "guard": "none"}
    )
    unbounded = config.model.model_copy(update={"logvar_bound": "none"})
    # Long enough, however short the run itself is.
    changed = {"optim": optim, "model": unbounded, "epochs": PROBE_STEPS}
    state = TrainState(config.model_copy(update=changed), train, clip_norm)
    while True:
        for batch in train.epoch():
            state.advance(batch, config.objective.kl_weight)
            crossed = verdict("blowup", state.labels.observation(), PROBE_STEPS)
            if crossed is not None:
                return crossed, state.step
