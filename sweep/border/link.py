"""How likely a run crosses, by how far it is above its border.

    P(crossed | d) = (1 - tail) Phi(d / rough) + tail Phi((d + reach) / rough),   d decades above

With `tail` 0 that is a probit. Above 0 the border is ragged: of the runs less than `reach` below it a share
`tail` crosses too, one at a stable rate and the next not. A probit can only take such runs for a wide border,
or for one that lies lower, and its bands then miss the true one in a third of the columns.

Both terms are probits, so all that expectation propagation needs has a closed form (Rasmussen and Williams
2006, section 3.9).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, log_ndtr, ndtr

Floats = NDArray[np.float64]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
HALVINGS = 40


@dataclass(frozen=True)
class Link:
    """P samples of each parameter: rough and reach in decades, tail a share below one half."""

    rough: Floats
    tail: Floats
    reach: Floats

    def crossing(self, above: Floats, spread: Floats | float = 0.0) -> Floats:
        """P(crossed) of runs (P, n) decades above a border that is known with this standard deviation."""
        width = np.hypot(self.rough[:, None], spread)
        tail, reach = self.tail[:, None], self.reach[:, None]
        return np.asarray((1 - tail) * ndtr(above / width) + tail * ndtr((above + reach) / width))

    def entropy(self, above: Floats, spread: Floats) -> Floats:
        """Expected entropy in bits, (P, n), of the outcome of such runs when the border is known."""
        at = above[..., None] + spread[..., None] * NODES
        shape = at.shape
        p = self.crossing(at.reshape(shape[0], -1)).reshape(shape)
        return np.asarray((entr(p) + entr(1 - p)) @ WEIGHTS / np.log(2))

    def tilt(
        self, mean: Floats, variance: Floats, x: Floats, crossed: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, Floats]:
        """log Z of the outcomes over N(f; mean, variance), its slope and minus its curvature in the mean.

        All (P, runs). The curvature can have either sign where tail > 0.
        """
        sign = np.where(crossed, 1.0, -1.0)
        scale = np.sqrt(self.rough[:, None] ** 2 + variance)
        near = (x - mean) / scale
        far = near + self.reach[:, None] / scale
        with np.errstate(divide="ignore"):
            shares = np.log1p(-self.tail[:, None]), np.log(self.tail[:, None])
        log_z = np.logaddexp(shares[0] + log_ndtr(sign * near), shares[1] + log_ndtr(sign * far))
        slope, bend = np.zeros_like(near), np.zeros_like(near)
        for share, u in zip(shares, (near, far), strict=True):
            ratio = np.exp(share - 0.5 * u**2 - 0.5 * np.log(2 * np.pi) - log_z)
            slope -= sign * ratio / scale
            bend += sign * u * ratio / scale**2
        return log_z, slope, slope**2 + bend

    def half(self, seed_sd: Floats) -> Floats:
        """Decades above the border of the columns at which half of the runs of new seeds cross, (P,).

        0 for a probit; below 0 where a tail adds to them.
        """
        low, high = np.full_like(self.rough, -3.0), np.zeros_like(self.rough)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fewer = self.crossing(middle[:, None], seed_sd[:, None])[:, 0] < 0.5
            low, high = np.where(fewer, middle, low), np.where(fewer, high, middle)
        return np.asarray((low + high) / 2)
