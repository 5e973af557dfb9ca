"""How often claims are wrongly decided, and how often rightly, through the code that judges real ones.

    python -m tests.sweep.evidence.simulation [draws]

prints the tables of docs/evidence.md.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sweep.evidence.decide import (
    CONTRADICTED,
    SUPPORTED,
    Decisions,
    Posed,
    decide_blocks,
    decide_columns,
    pose,
)
from sweep.evidence.looks import LOOKS
from sweep.study.claims import Contrast
from tests.sweep.evidence.worlds import RUN, WORLDS, World, even_shift

Array = NDArray[np.float64]
MARGIN = np.log1p(0.05)
SURE = np.log(2.0)
"""Log ratio of an effect that every block shows."""
COLUMN_SPLIT, COLUMN_SD = 0.03, 0.05
"""Standard deviations of the log loss over seeds in a column, where all seeds have one split of the data."""
LABELLINGS = 1_999
"""Fewer than for a real study, which has one data set and not thousands."""


@dataclass(frozen=True)
class Design:
    """Contrasts of a claim. The last is where a wrong claim is wrong; the others have the effect `SURE`."""

    name: str
    contrasts: tuple[Contrast, ...]

    @property
    def last(self) -> Contrast:
        return self.contrasts[-1]


def contrast(worse: str, better: str, not_better: bool = False) -> Contrast:
    return Contrast(worse=tuple(worse.split()), better=tuple(better.split()), not_better=not_better)


ONE = Design("8 worse than 4 and 5", (contrast("8", "4 5"),))
SIDES = Design("6 and 8 worse than 4 and 5", (contrast("6 8", "4 5"),))
PAIR = Design("8 worse than 4", (contrast("8", "4"),))
NOT_BETTER = Design("8 not better than 4 and 5", (contrast("8", "4 5", not_better=True),))
FOUR = Design("2, 3, 6 and 8 each worse than 4 and 5", tuple(contrast(arm, "4 5") for arm in "2368"))
DESIGNS = (ONE, SIDES, PAIR, NOT_BETTER, FOUR)


def decided(
    design: Design, world: World, effect: float, others: float, draws: int, seed: int, odd: bool = True
) -> Decisions:
    """What becomes of `draws` studies where the last contrast has this log ratio, and the others that.

    Both are measured from where neither side of a contrast wins more often.
    """
    arms = dict.fromkeys(arm for each in design.contrasts for arm in (*each.better, *each.worse))
    effects = dict.fromkeys(arms, 0.0)
    strange = design.last.worse if odd else ()
    for each in design.contrasts:
        middle = _even(world, each.worse, each.better, tuple(arms), strange)
        for arm in each.worse:
            effects[arm] = middle + (effect if each is design.last else others)
    drawn = world.draw(effects, strange, draws, LOOKS[-1], np.random.default_rng(seed))

    def side(names: Sequence[str]) -> Array:
        return np.stack([drawn[name] for name in names], axis=2)

    posed = [pose(each, side(each.worse), side(each.better), "lower") for each in design.contrasts]
    return decide_blocks(posed, LABELLINGS)


@cache
def _even(
    world: World, worse: tuple[str, ...], better: tuple[str, ...], arms: tuple[str, ...], odd: tuple[str, ...]
) -> float:
    return even_shift(world, worse, better, [arm for arm in odd if arm in worse])


def false_rates(design: Design, world: World, draws: int, seed: int = 1) -> tuple[float, float]:
    """Shares wrongly supported and wrongly contradicted, over all looks.

    Wrong is "supported" where the last contrast has no effect and the others a sure one, and "contradicted"
    where all have the margin exactly. Where a contrast is of non-superiority: better by the margin, and
    equal.
    """
    none, least = (-MARGIN, 0.0) if design.last.not_better else (0.0, MARGIN)
    supported = decided(design, world, none, SURE, draws, seed).verdict == SUPPORTED
    contradicted = decided(design, world, least, least, draws, seed + 1).verdict == CONTRADICTED
    return float(supported.mean()), float(contradicted.mean())


def power(
    design: Design, world: World, ratio: float, draws: int, verdict: int = SUPPORTED, seed: int = 3
) -> list[float]:
    """Shares decided so at each look or before, where every contrast has this ratio."""
    result = decided(design, world, np.log(ratio), np.log(ratio), draws, seed)
    return [float(((result.verdict == verdict) & (result.look <= look)).mean()) for look in LOOKS]


def columns_decided(
    world: World, seeds: int, near: float, far: float, draws: int, seed: int = 5, odd: str = "middle"
) -> NDArray[np.int64]:
    """Verdicts on "middle and far are worse than near" in three columns, with log ratios `near` and `far`."""
    rng = np.random.default_rng(seed)
    world = replace(world, sd=COLUMN_SD if world.sd == RUN else world.sd)
    effects = {"near": 0.0, "middle": near, "far": far}
    drawn = [world.draw(effects, [odd], draws, seeds, rng, COLUMN_SPLIT) for _ in range(3)]
    posed: list[list[Posed]] = [
        [pose(contrast(arm, "near"), values[arm], values["near"], "lower") for values in drawn]
        for arm in ("middle", "far")
    ]
    return decide_columns(posed, LABELLINGS // 2).verdict


def columns_false_rates(world: World, seeds: int, draws: int) -> tuple[float, float]:
    """As `false_rates`, the worse of two cases: the middle or near the border is the side that is odd."""
    rates = []
    for odd in ("middle",) if world.alike else ("middle", "near"):
        supported = columns_decided(world, seeds, 0.0, SURE, draws, odd=odd) == SUPPORTED
        contradicted = columns_decided(world, seeds, MARGIN, SURE, draws, odd=odd) == CONTRADICTED
        rates.append((float(supported.mean()), float(contradicted.mean())))
    return max(first for first, _ in rates), max(second for _, second in rates)


COLUMN_WORLDS = tuple(world for world in WORLDS if not world.tuned and "skewed, one" not in world.name)
POWERS = (
    ("20 % worse", World("equal"), 1.2, SUPPORTED),
    ("20 % worse, 10 % have three times the loss", World("", fail=0.1), 1.2, SUPPORTED),
    ("20 % worse, 10 % diverge", World("", diverge=0.1), 1.2, SUPPORTED),
    ("20 % worse, 30 % diverge", World("", diverge=0.3), 1.2, SUPPORTED),
    ("20 % worse, rates tuned with halving", World("", tuned=True, halved=True), 1.2, SUPPORTED),
    ("10 % worse", World(""), 1.1, SUPPORTED),
    ("equal, to be contradicted", World(""), 1.0, CONTRADICTED),
    ("10 % better, to be contradicted", World(""), 0.9, CONTRADICTED),
)


def tables(draws: int) -> str:
    """All figures, as Markdown."""
    finding = [design for design in DESIGNS if not design.last.not_better]
    false = {world.name: [_pair(false_rates(design, world, draws)) for design in DESIGNS] for world in WORLDS}
    columns = {
        world.name: [_pair(columns_false_rates(world, seeds, draws)) for seeds in (3, 5)]
        for world in COLUMN_WORLDS
    }
    right = {
        name: [_looks(power(design, world, ratio, draws, verdict)) for design in finding]
        for name, world, ratio, verdict in POWERS
    }
    return "\n".join(
        [
            f"Wrongly supported / wrongly contradicted, {draws:,} studies a cell:\n",
            *_table([design.name for design in DESIGNS], false),
            "\nThe same of claims in three columns:\n",
            *_table(["3 seeds", "5 seeds"], columns),
            "\nRightly decided after 6 / 9 / 13 / 20 blocks:\n",
            *_table([design.name for design in finding], right),
        ]
    )


def _table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [["", *head], ["---"] * (len(head) + 1), *([name, *cells] for name, cells in rows.items())]
    return [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]


def _pair(rates: tuple[float, float]) -> str:
    return " / ".join(f"{rate:.3f}".removeprefix("0") for rate in rates)


def _looks(shares: Sequence[float]) -> str:
    return " / ".join(f"{share:.2f}".removeprefix("0") for share in shares)


if __name__ == "__main__":
    print(tables(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000))
