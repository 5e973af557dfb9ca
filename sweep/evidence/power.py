"""What a design can decide, before it is run: made-up blocks through the test that judges real ones.

A block's values are normal on the logarithmic scale; a run may diverge with a fixed probability, in every
arm.
"""

import numpy as np
from numpy.typing import NDArray

from sweep.evidence.decide import SUPPORTED, decide_blocks, pose
from sweep.evidence.looks import LOOKS
from sweep.study.claims import Contrast

Array = NDArray[np.float64]
DRAWS = 400
LABELLINGS = 999
LIKELY = 0.8
"""The power at which an effect counts as seen."""
_MOST = 4.0
_SEED = 20


def power(
    effect: float,
    blocks: int,
    sd: float,
    sides: tuple[int, int] = (1, 2),
    contrasts: int = 1,
    diverged: float = 0.0,
) -> float:
    """Probability that a claim is supported after so many blocks, where each contrast has this effect.

    effect: how much worse the worse side is, as a share (.2: 20 %). sd: standard deviation of the log
    values of an arm over runs in one block. sides: arms on the worse and on the better side. contrasts: as
    many, with the better side in common. diverged: share of runs that diverge, in all arms.
    """
    return _power(effect, _noise(blocks, sides, contrasts, sd, diverged), sides, contrasts)


def detectable(
    blocks: int, sd: float, sides: tuple[int, int] = (1, 2), contrasts: int = 1, diverged: float = 0.0
) -> float | None:
    """The smallest effect that so many blocks see with a power of .8, within 5 %; None where they see none.

    An effect of more than fourfold is not looked for. About a tenth of a second a contrast.
    """
    noise = _noise(blocks, sides, contrasts, sd, diverged)
    if _power(_MOST, noise, sides, contrasts) < LIKELY:
        return None
    low, high = 0.0, _MOST
    while high - low > 0.05 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, noise, sides, contrasts) >= LIKELY else (middle, high)
    return high


def _noise(blocks: int, sides: tuple[int, int], contrasts: int, sd: float, diverged: float) -> Array:
    """Log values (data sets, blocks, arms) without an effect; the better side's arms come last."""
    rng = np.random.default_rng(_SEED)
    whole = max((look for look in LOOKS if look <= blocks), default=0)
    shape = (DRAWS, whole, contrasts * sides[0] + sides[1])
    noise = rng.normal(0, sd, shape)
    return np.where(rng.random(shape) < diverged, np.inf, noise)


def _power(effect: float, noise: Array, sides: tuple[int, int], contrasts: int) -> float:
    worse, better = sides
    asked = Contrast(worse=("worse",), better=("better",))
    values = np.exp(noise)
    values[..., : contrasts * worse] *= 1 + effect
    parts = [values[..., worse * place : worse * (place + 1)] for place in range(contrasts)]
    posed = [pose(asked, part, values[..., -better:], "lower") for part in parts]
    return float((decide_blocks(posed, LABELLINGS).verdict == SUPPORTED).mean())
