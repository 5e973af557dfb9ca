"""The unit of a relative learning rate: the border of blowing up, found by a few short runs before a run.

Under SGD the best rate lies about a decade below that border, wherever it is; under Adam it is a poor guide.
The runs are throw-away copies at a constant rate and the final KL weight, without a bound on the encoder's
log-variance, which would move the border. A rate a decade at a time too high ends within a few steps, so the
search comes from above; then it halves the decade.
"""

from dataclasses import dataclass

from vae.config import TrainConfig
from vae.stability.labels import verdict
from vae.training.step import BatchSource, TrainState

PROBE_STEPS = 10
HIGHEST, LOWEST = 1, -7
"""log10 of the first rate, and of the last that is tried."""
HALVINGS = 2
BUDGET = 0.1
"""Of the run's own steps: the decade is halved only while no run might go beyond."""


@dataclass(frozen=True)
class BorderRate:
    """rate: the largest that was found stable. The border lies less than a decade above, 0.25 decades where
    the budget lasted; anywhere above where it is the first rate tried. steps: optimizer steps of the search.
    """

    rate: float
    steps: int


def border_rate(config: TrainConfig, train: BatchSource, clip_norm: float | None) -> BorderRate:
    """The largest rate at which a fresh model does not blow up; the source is put back as it was.

    clip_norm: absolute, of the policy `norm`; the other policies act as they are configured.

    Raises:
        ArithmeticError: no rate down to 1e-7 was stable.
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
    return BorderRate(10.0**x, steps)


def _probe(config: TrainConfig, train: BatchSource, clip_norm: float | None, rate: float) -> tuple[bool, int]:
    """Whether a run at a constant rate blows up within PROBE_STEPS, and the steps it took."""
    optim = config.optim.model_copy(
        update={"lr": rate, "lr_schedule": "constant", "lr_warmup_fraction": 0.0, "skip": "none"}
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
