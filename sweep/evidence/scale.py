"""Values turned so that larger is worse, on the scale on which they are compared.

Where all values of a contrast are positive they are compared as ratios, on a logarithmic scale. A value
with another sign (a kernel distance near nought, a log-likelihood) is compared as it is.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Turned:
    """Values of any shape; larger is worse, infinity is a run that diverged. `log`: they are logarithms."""

    values: Array
    log: bool

    def made_worse(self, margin: float) -> Array:
        """The values after each is made worse by the factor 1 + margin, which a positive or a negative may
        be.
        """
        if self.log:
            return self.values + math.log1p(margin)
        return np.where(self.values > 0, self.values * (1 + margin), self.values / (1 + margin))


def turned(worse: Array, better: Array, direction: Better) -> tuple[Turned, Turned]:
    """Both sides of a contrast, on one scale; what is not finite is the worst, whatever the direction."""
    finite = np.concatenate([side[np.isfinite(side)].ravel() for side in (worse, better)])
    log = bool(np.all(finite > 0))
    sign = 1.0 if direction == "lower" else -1.0

    def turn(side: Array) -> Turned:
        whole = np.isfinite(side)
        safe = np.where(whole, side, 1.0)
        return Turned(np.where(whole, sign * (np.log(safe) if log else safe), np.inf), log)

    return turn(worse), turn(better)
