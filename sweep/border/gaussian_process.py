"""The border as a Gaussian process: its posterior from runs that crossed it and runs that did not.

b(z)             the border at column z, in decades of the searched axis
f(z, s) = b(z) + e(s)       the border of the runs of one seed there, e ~ N(0, seed_sd^2)
P(crossed | x, z, s)        by how far x lies above f(z, s), ragged or not (`sweep.border.link`)

    b ~ GP(mean, 2^2 + (2 z)^2 + v^2 Matern52(|z - z'| / length)),   z scaled to [0, 1] an axis

Several runs of one seed tell less about b than runs of several seeds: without `e` the bands are too narrow.

Inference is expectation propagation (Minka 2001; Rasmussen and Williams 2006, section 3.6), and the
parameters are not fitted but integrated out: a fixed quasi-random sample of their prior, weighted by the
evidence. Fitted ones, from a dozen runs, give bands that cover too little.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, logsumexp, ndtri

from sweep.border.link import Floats, Link

Ints = NDArray[np.intp]

OFFSET_SD = 2.0
"""Prior spread of the border about the middle of the range, and of its change across a plane, in decades."""
PARAMETER_POINTS = 128
MAX_SWEEPS = 60
TOLERANCE = 1e-5
# Median, and the factor that one standard deviation of its logarithm stands for.
VARIATION = (0.25, 2.0)
LENGTH = (0.5, 2.0)
SIGMA = (0.17, 2.2)
REACH = (0.7, 1.5)
MOST_TAIL = 0.48
"""Runs of a ragged border below it cross less often than not, or the border would lie lower."""
SMOOTH = 0.4
"""Prior probability that a border has no tail."""


@dataclass(frozen=True)
class Runs:
    """n runs over cells (a column and a seed): of a cell its column's z (cells, axes); of a run its cell,
    x in decades about the middle of the searched range, and whether it crossed.
    """

    z: Floats
    cell: Ints
    x: Floats
    crossed: NDArray[np.bool_]


@dataclass(frozen=True)
class Parameters:
    """P samples of each: variation of b (decades), its length over the unit interval, the spread of the seeds
    (decades), and how runs cross.
    """

    variation: Floats
    length: Floats
    seed_sd: Floats
    link: Link

    @property
    def sigma(self) -> Floats:
        """Width of the border, its tail aside."""
        return np.hypot(self.seed_sd, self.link.rough)

    @cached_property
    def half(self) -> Floats:
        """Where half of the runs of new seeds cross, above b."""
        return self.link.half(self.seed_sd)


@dataclass(frozen=True)
class Posterior:
    """Posterior of the borders f of the cells, one Gaussian per parameter sample.

    weights (P,); alpha (P, cells) and shrink (P, cells, cells) are what prediction needs.
    """

    runs: Runs
    parameters: Parameters
    weights: Floats
    alpha: Floats
    shrink: Floats

    def border(self, z: Floats) -> tuple[Floats, Floats]:
        """Where half of the runs of new seeds cross at (m, axes) points: means (P, m), covariances (P, m, m),
        a parameter sample each."""
        cross = _kernel(z, self.runs.z, self.parameters)
        mean = np.einsum("pmc,pc->pm", cross, self.alpha) + self.parameters.half[:, None]
        prior = _kernel(z, z, self.parameters)
        return mean, prior - np.einsum("pmc,pcd,pnd->pmn", cross, self.shrink, cross)

    def cells(self) -> tuple[Floats, Floats]:
        """f of each cell: means and variances (P, cells), a parameter sample each."""
        own = _kernel(self.runs.z, self.runs.z, self.parameters)
        own = own + self.parameters.seed_sd[:, None, None] ** 2 * np.eye(len(self.runs.z))
        mean = np.einsum("pmc,pc->pm", own, self.alpha)
        variance = np.einsum("pcc->pc", own) - np.einsum("pmc,pcd,pmd->pm", own, self.shrink, own)
        return mean, np.maximum(variance, 0)

    def information(self, cell: int, x: Floats) -> Floats:
        """What a run at each x would tell about the cell's border and the parameters, in bits: the entropy of
        its outcome less what is left when they are known (BALD, Houlsby et al. 2011, eq. 1).
        """
        mean, variance = (of[:, [cell]] for of in self.cells())
        above, spread = x - mean, np.broadcast_to(np.sqrt(variance), (len(mean), len(x)))
        crossed = self.weights @ self.parameters.link.crossing(above, spread)
        left = self.weights @ self.parameters.link.entropy(above, spread)
        return np.asarray((entr(crossed) + entr(1 - crossed)) / np.log(2) - left)

    def mixed(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the parameter samples of (P, m) means and variances."""
        middle = self.weights @ mean
        return middle, np.sqrt(self.weights @ (np.maximum(variance, 0) + (mean - middle) ** 2))

    def draw(self, z: Floats, count: int, seed: int = 0) -> tuple[Floats, Ints]:
        """Joint draws of the border at (m, axes) points, (count, m), and the parameter sample of each."""
        rng = np.random.default_rng(seed)
        mean, covariance = self.border(z)
        # Systematic resampling: each parameter sample as often as its weight says.
        edges = (rng.random() + np.arange(count)) / count
        chosen = np.searchsorted(np.cumsum(self.weights), edges * (1 - 1e-12)).clip(max=len(self.weights) - 1)
        roots = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(z)))
        noise = rng.standard_normal((count, len(z)))
        draws = mean[chosen] + np.einsum("kmn,kn->km", roots[chosen], noise)
        return draws, chosen

    def crossing(self, above: Floats, chosen: Ints) -> Floats:
        """P(crossed) of runs of new seeds, so far above a draw's border, with the draw's parameters."""
        p = self.parameters
        link = Link(p.link.rough[chosen], p.link.tail[chosen], p.link.reach[chosen])
        at = (above + p.half[chosen])[:, None]
        return link.crossing(at, p.seed_sd[chosen, None])[:, 0]


@cache
def prior_sample(count: int = PARAMETER_POINTS) -> Parameters:
    """A Sobol' sample of the prior: lognormals, the seed's share of sigma^2 uniform, and a tail that is none
    or uniform."""
    from scipy.stats import qmc  # half a second that a run need not wait for

    u = qmc.Sobol(6, seed=0).random(count).clip(1e-6, 1 - 1e-6)

    def lognormal(which: int, prior: tuple[float, float]) -> Floats:
        median, factor = prior
        return np.asarray(median * factor ** ndtri(u[:, which]))

    sigma, share = lognormal(2, SIGMA), 0.05 + 0.9 * u[:, 3]
    return Parameters(
        variation=lognormal(0, VARIATION),
        length=lognormal(1, LENGTH),
        seed_sd=sigma * np.sqrt(share),
        link=Link(
            rough=sigma * np.sqrt(1 - share),
            tail=MOST_TAIL * np.maximum(0.0, (u[:, 4] - SMOOTH) / (1 - SMOOTH)),
            reach=lognormal(5, REACH),
        ),
    )


def infer(runs: Runs, parameters: Parameters | None = None, sweeps: int = MAX_SWEEPS) -> Posterior:
    """Expectation propagation for every parameter sample at once, `sweeps` at most over the runs."""
    parameters = parameters or prior_sample()
    cells = len(runs.z)
    prior = _kernel(runs.z, runs.z, parameters) + parameters.seed_sd[:, None, None] ** 2 * np.eye(cells)
    points, count = len(parameters.length), len(runs.x)
    precision, shift = np.zeros((points, count)), np.zeros((points, count))
    onto = np.zeros((count, cells))
    onto[np.arange(count), runs.cell] = 1.0
    mean, variance, root_w, inner = _combine(prior, precision, shift, onto)
    for _ in range(sweeps):
        cavity_v, cavity_m = _cavity(mean, variance, precision, shift, runs.cell)
        _, slope, curve = parameters.link.tilt(cavity_m, cavity_v, runs.x, runs.crossed)
        # A tail can make a run widen what is known; then its mean alone is taken over.
        curve = np.clip(curve, 0.0, (1 - 1e-9) / cavity_v)
        wanted_p = curve / (1 - curve * cavity_v)
        wanted_s = (slope + curve * cavity_m) / (1 - curve * cavity_v)
        step = np.abs(wanted_p - precision) * variance[:, runs.cell]
        # Half a step: several runs of one cell are updated at once.
        precision, shift = 0.5 * (precision + wanted_p), 0.5 * (shift + wanted_s)
        mean, variance, root_w, inner = _combine(prior, precision, shift, onto)
        if step.max(initial=0.0) < TOLERANCE:
            break
    cavity_v, cavity_m = _cavity(mean, variance, precision, shift, runs.cell)
    log_z, _, _ = parameters.link.tilt(cavity_m, cavity_v, runs.x, runs.crossed)
    own_m, own_v = mean[:, runs.cell], variance[:, runs.cell]
    evidence = (
        (log_z + _log_partition(cavity_m, cavity_v) - _log_partition(own_m, own_v)).sum(1)
        + 0.5 * ((shift @ onto) * mean).sum(1)
        - 0.5 * np.linalg.slogdet(inner)[1]
    )
    shrink = root_w[:, :, None] * np.linalg.inv(inner) * root_w[:, None, :]
    pull = shift @ onto
    alpha = pull - np.einsum("pcd,pde,pe->pc", shrink, prior, pull)
    weights = np.exp(evidence - logsumexp(evidence))
    return Posterior(runs, parameters, weights, alpha, shrink)


def _kernel(z: Floats, other: Floats, parameters: Parameters) -> Floats:
    """(P, m, n): constant + linear + Matern 5/2."""
    difference = np.sqrt(((z[:, None, :] - other[None]) ** 2).sum(-1))
    r = np.sqrt(5.0) * difference / parameters.length[:, None, None]
    matern = (1 + r + r**2 / 3) * np.exp(-r)
    line = 1 + ((z - 0.5) @ (other - 0.5).T)
    return np.asarray(OFFSET_SD**2 * line + parameters.variation[:, None, None] ** 2 * matern)


def _combine(
    prior: Floats, precision: Floats, shift: Floats, onto: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Posterior mean and variance of the cells, sqrt(W) and B = I + sqrt(W) K sqrt(W)."""
    root_w = np.sqrt(precision @ onto)
    inner = np.eye(prior.shape[1]) + root_w[:, :, None] * prior * root_w[:, None, :]
    half = np.linalg.solve(inner, root_w[:, :, None] * prior)
    covariance = prior - np.einsum("pcd,pc,pce->pde", prior, root_w, half)
    mean = np.einsum("pcd,pd->pc", covariance, shift @ onto)
    return mean, np.maximum(np.einsum("pcc->pc", covariance), 1e-10), root_w, inner


def _cavity(
    mean: Floats, variance: Floats, precision: Floats, shift: Floats, cell: Ints
) -> tuple[Floats, Floats]:
    """Variance and mean of each run's cell without that run."""
    own = 1 / variance[:, cell]
    rest = np.maximum(own - precision, 1e-6 * own)
    return 1 / rest, (mean[:, cell] * own - shift) / rest


def _log_partition(mean: Floats, variance: Floats) -> Floats:
    return 0.5 * mean**2 / variance + 0.5 * np.log(variance)
