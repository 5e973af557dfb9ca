"""Made-up studies in which the truth is known: of each arm values (data sets, blocks); infinity diverged.

A run's log loss is that of its split (sd .15), of its arm, and its own noise (sd .08).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sweep.evidence.permutation import win_share

Array = NDArray[np.float64]
SPLIT, RUN, TILES = 0.15, 0.08, 0.05
GRID = 5
STEP = 0.15
"""Log loss that one step of the grid of rates beside the best one costs; two steps cost four times that."""
BREAKS = (0.0, 0.0, 0.02, 0.1, 0.5)
"""Share of the runs that diverge at each rate of the grid."""
KEPT = 3
EARLY = 0.7
"""Correlation of the noise in a validation value at the time of halving with that in the last one."""


@dataclass(frozen=True)
class World:
    """Noise of the runs. `odd` arms, named by who draws, differ from the others by `spread` and `uncertain`.

    fail: share of the runs whose loss is three times as high. diverge: share that diverges.
    shared: share of a run's variance that the arms of a block have in common.
    tuned: each arm takes the best of a grid of rates on validation tiles and is valued on test tiles.
    uncertain: factor on the noise of validation values. halved: two of five rates end early.
    """

    name: str
    tail: Literal["normal", "t3", "skewed"] = "normal"
    sd: float = RUN
    spread: float = 1.0
    fail: float = 0.0
    diverge: float = 0.0
    shared: float = 0.0
    tuned: bool = False
    uncertain: float = 1.0
    halved: bool = False

    @property
    def alike(self) -> bool:
        """Do arms without an effect have values of one distribution?"""
        return self.spread == self.uncertain == 1.0 and not self.tuned

    def draw(
        self,
        effects: Mapping[str, float],
        odd: Sequence[str],
        sets: int,
        blocks: int,
        rng: np.random.Generator,
        split: float = SPLIT,
    ) -> dict[str, Array]:
        """effects: log ratio of each arm's loss."""
        shape = (sets, blocks)
        of_split = rng.normal(0, split, shape)
        common = self.noise(shape, rng) * self.shared**0.5
        values = {}
        for arm, effect in effects.items():
            if self.tuned:
                own = self._tuned(shape, arm, arm in odd, rng)
            else:
                own = self.noise(shape, rng) * (self.spread if arm in odd else 1.0)
            loss = of_split + effect + common + own * (1 - self.shared) ** 0.5
            loss = loss + np.log(3) * (rng.random(shape) < self.fail)
            values[arm] = np.where(rng.random(shape) < self.diverge, np.inf, np.exp(loss))
        return values

    def noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Of standard deviation `sd`, and median nought."""
        if self.tail == "t3":
            return rng.standard_t(3, shape) * self.sd / 3**0.5
        if self.tail == "skewed":
            return rng.exponential(self.sd, shape) - self.sd * np.log(2)
        return rng.normal(0, self.sd, shape)

    def _tuned(self, shape: tuple[int, int], arm: str, odd: bool, rng: np.random.Generator) -> Array:
        """Log loss on test tiles of the rate that is best on validation tiles; arms differ in the best
        rate."""
        grid = (*shape, GRID)
        best = 1 + ord(arm[0]) % (GRID - 2)
        run = STEP * (np.arange(GRID) - best) ** 2 + self.noise(grid, rng)
        run = np.where(rng.random(grid) < BREAKS, np.inf, run)
        tiles = TILES * (self.uncertain if odd else 1.0)
        error = rng.normal(0, tiles, grid)
        chosen = run + error
        if self.halved:
            early = (
                run + EARLY * error + rng.normal(0, (1 - EARLY**2) ** 0.5 * np.hypot(tiles, self.sd), grid)
            )
            behind = early.argsort(-1).argsort(-1) >= KEPT
            chosen = np.where(behind, np.inf, chosen)
        at = chosen.argmin(-1)[..., None]
        return np.take_along_axis(run, at, -1)[..., 0] + rng.normal(0, TILES, shape)


def even_shift(world: World, worse: Sequence[str], better: Sequence[str], odd: Sequence[str]) -> float:
    """Log ratio of `worse` at which neither side wins more often than the other: where the null holds."""
    if world.alike:
        return 0.0
    drawn = world.draw(dict.fromkeys((*worse, *better), 0.0), odd, 1, 40_000, np.random.default_rng(7))
    first, second = (np.log(np.stack([drawn[arm][0] for arm in side], axis=-1)) for side in (worse, better))
    low, high = -1.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        below = win_share(first + middle, second).mean() < 0.5
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


WORLDS = (
    World("equal"),
    World("one side spreads threefold", spread=3),
    World("t with 3 degrees of freedom", tail="t3"),
    World("skewed", tail="skewed"),
    World("skewed, one side threefold", tail="skewed", spread=3),
    World("3 % have three times the loss", fail=0.03),
    World("10 % have three times the loss", fail=0.1),
    World("10 % diverge", diverge=0.1),
    World("30 % diverge", diverge=0.3),
    World("30 % diverge, one side threefold", diverge=0.3, spread=3),
    World("standard deviation .2", sd=0.2),
    World("seeds shared by the arms", shared=0.5),
    World("rates tuned", tuned=True),
    World("rates tuned, one side unsure", tuned=True, uncertain=3),
    World("rates tuned, halving", tuned=True, halved=True),
    World("halving, one side unsure", tuned=True, halved=True, uncertain=3),
)
