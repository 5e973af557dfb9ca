"""Does a learning rate carry over? Of one arm's tuned rate, what it is worth in another.

In each block that both have finished: how far apart their best rates lie, and what the second loses at the
rate that the first chose, against the best of the grid for it. So the luck of tuning on one run a rate is in
both, and the loss is one that a user would have had.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sweep.evidence.sensitivity import Spread, losses_by_rate, whole_blocks
from sweep.store.intervals import mean_interval
from sweep.store.trials import TrialView
from sweep.study import Plan


@dataclass(frozen=True)
class Carried:
    """From the arm `source` to the arm `target`, over `blocks` blocks.

    decades: the target's best rate less the source's, in decades, over blocks in which both lie inside the
        grid; at_ends: further blocks, in which one of them is an end of it, so that they may lie anywhere.
    cost: the target's validation loss at the source's rate over its best, less 1, over blocks in which it
        did not diverge there; diverged: in how many it did.
    Each has a 95 % t interval, and is None where fewer than two blocks give it.
    """

    source: str
    target: str
    blocks: int
    decades: Spread | None
    at_ends: int
    cost: Spread | None
    diverged: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        words = [f"the rate of {self.source} in {self.target} ({_blocks(self.blocks)})"]
        if self.decades is not None:
            mean, low, high = self.decades
            words.append(f"best rates {mean:+.2f} decades apart ({low:+.2f} to {high:+.2f})")
        if self.at_ends:
            words.append(f"the best of one of them at an end of the grid in {_blocks(self.at_ends)}")
        if self.cost is not None:
            mean, low, high = (100 * value for value in self.cost)
            words.append(f"costs {mean:.1f} % of the loss ({low:.1f} to {high:.1f})")
        if self.diverged:
            words.append(f"diverges in {_blocks(self.diverged)}")
        return words[0] + ": " + ", ".join(words[1:])


def _blocks(count: int) -> str:
    return f"{count} block" + "s" * (count != 1)


@dataclass(frozen=True)
class OneRate:
    """One rate for all arms of a group, over `blocks` blocks that all have finished.

    rate: of the grid, where they lose least against their own bests, in the mean over arms and blocks. cost:
        what a rate that was so chosen on the other blocks loses in a block, with a 95 % t interval.
    """

    arms: tuple[str, ...]
    rate: float
    cost: Spread
    blocks: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        mean, low, high = (100 * value for value in self.cost)
        return (
            f"one rate for {', '.join(self.arms)}: {self.rate:.2g}, which costs {mean:.1f} % of the loss "
            f"({low:.1f} to {high:.1f}; {_blocks(self.blocks)})"
        )


def one_rates(plan: Plan | None, trials: Sequence[TrialView]) -> list[OneRate]:
    """Of each group of the plan's `carries`; none of a group with fewer than three blocks, or where no rate
    leaves all arms finite."""
    if plan is None or not plan.carries:
        return []
    losses = {arm: _losses(blocks) for arm, blocks in whole_blocks(trials).items()}
    found = (_one_rate(group, [losses.get(arm, {}) for arm in group]) for group in plan.carries)
    return [rate for rate in found if rate is not None]


def _one_rate(arms: tuple[str, ...], losses: Sequence[Mapping[int, Mapping[float, float]]]) -> OneRate | None:
    numbers = sorted(set.intersection(*(set(blocks) for blocks in losses)))
    whole = [n for n in numbers if all(math.isfinite(min(blocks[n].values())) for blocks in losses)]
    if len(whole) < 3:
        return None
    rates = sorted(set.intersection(*(set(blocks[n]) for blocks in losses for n in whole)))
    lost = np.array(
        [[np.mean([b[n][r] / min(b[n].values()) - 1 for b in losses]) for r in rates] for n in whole]
    )
    if not rates or not np.isfinite(lost).all(0).any():
        return None
    others = [np.delete(lost, at, axis=0).mean(0) for at in range(len(whole))]
    cost = mean_interval([float(row[other.argmin()]) for row, other in zip(lost, others, strict=True)])
    assert cost is not None
    return OneRate(arms, rates[int(lost.mean(0).argmin())], cost, len(whole))


def carried(plan: Plan | None, trials: Sequence[TrialView]) -> list[Carried]:
    """Of the plan's `carries`, from the first arm of each group to the others."""
    if plan is None or not plan.carries:
        return []
    whole = whole_blocks(trials)
    return list(_all(plan, {arm: _losses(blocks) for arm, blocks in whole.items()}))


def _losses(blocks: Mapping[int, Sequence[TrialView]]) -> dict[int, dict[float, float]]:
    return {number: losses_by_rate(block) for number, block in blocks.items()}


def _all(plan: Plan, losses: Mapping[str, Mapping[int, Mapping[float, float]]]) -> Iterator[Carried]:
    for source, *targets in plan.carries:
        for target in targets:
            mine, theirs = losses.get(source, {}), losses.get(target, {})
            both = [(mine[number], theirs[number]) for number in sorted(mine.keys() & theirs.keys())]
            both = [(s, t) for s, t in both if math.isfinite(min(*s.values(), *t.values()))]
            if both:
                yield _between(source, target, both)


def _between(
    source: str, target: str, blocks: Sequence[tuple[Mapping[float, float], Mapping[float, float]]]
) -> Carried:
    apart, ends, costs, diverged = [], 0, [], 0
    for mine, theirs in blocks:
        best, its = best_rate(mine), best_rate(theirs)
        if best is None or its is None:
            ends += 1
        else:
            apart.append(math.log10(its / best))
        at = theirs.get(min(mine, key=lambda rate: (mine[rate], rate)), math.inf)
        if math.isfinite(at):
            costs.append(at / min(theirs.values()) - 1)
        else:
            diverged += 1
    return Carried(source, target, len(blocks), mean_interval(apart), ends, mean_interval(costs), diverged)


def best_rate(losses: Mapping[float, float]) -> float | None:
    """Where a parabola through the smallest loss and its neighbours on the grid is smallest, in logarithms of
    loss and rate; None where the smallest is at an end of the grid, or no loss is finite and positive.

    A neighbour that diverged is as bad as the worst of the others that are finite.
    """
    rates = sorted(losses)
    finite = [loss for loss in losses.values() if math.isfinite(loss)]
    if not finite or min(finite) <= 0:
        return None
    values = [math.log(min(losses[rate], max(finite))) for rate in rates]
    at = int(np.argmin(values))
    if at in (0, len(rates) - 1):
        return None
    x = np.log10(rates[at - 1 : at + 2])
    second, first, _ = np.polyfit(x - x[1], values[at - 1 : at + 2], 2)
    if second <= 0:  # two that are equally small
        return float(rates[at])
    return float(10 ** (x[1] - first / (2 * second)))
