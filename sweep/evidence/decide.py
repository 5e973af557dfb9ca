"""The rule that turns values into a verdict, for many data sets at once: a real study is one data set.

A contrast predicts that its worse side is worse. It is *found* where that is shown, and *excluded* where
even a difference of its margin is: the better side, made worse by the margin, is still worse than the
other. For `not_better` (non-superiority) it is found where the worse side, made worse by the margin, is
worse than the other, and excluded where the worse side is better.

A claim is supported where every contrast is found, contradicted where one is excluded. As all must be
found, each is tested at the full level (an intersection-union test, Berger 1982); as one excluded is
enough, those p are corrected (Holm 1979). Where a contrast is both, the difference is there and smaller
than the margin: as good as none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.evidence import permutation, studentised
from sweep.evidence.looks import COLUMNS_LEVEL, LEVELS, LOOKS, holm
from sweep.evidence.permutation import block_p
from sweep.evidence.scale import Better, turned
from sweep.evidence.studentised import strata_p
from sweep.study.claims import Contrast

Array = NDArray[np.float64]
Sides = tuple[Array, Array]
SUPPORTED, UNDECIDED, CONTRADICTED = 1, 0, -1


@dataclass(frozen=True)
class Posed:
    """What a contrast asks: is the first of a pair worse than the second? Larger is worse.

    predicted: the pair that must be so for the claim. contrary: the pair that is so where the claim is wrong.
    """

    predicted: Sides
    contrary: Sides
    not_better: bool = False


@dataclass(frozen=True)
class Decisions:
    """verdict, look: (data sets,); p and the Holm-adjusted p_excluded: (data sets, contrasts), at that look.

    look: blocks at the look that decided, or at the last that was taken; 0 where none was.
    """

    verdict: NDArray[np.int64]
    look: NDArray[np.int64]
    p: Array
    p_excluded: Array


def pose(contrast: Contrast, worse: Array, better: Array, direction: Better) -> Posed:
    """The questions of a contrast, for values of any shape as they were recorded."""
    first, second = turned(worse, better, direction)
    if contrast.not_better:
        predicted = first.made_worse(contrast.margin), second.values
        return Posed(predicted, (second.values, first.values), not_better=True)
    return Posed((first.values, second.values), (second.made_worse(contrast.margin), first.values))


def decide_blocks(posed: Sequence[Posed], draws: int = permutation.DRAWS) -> Decisions:
    """Looks at 6, 9, 13 and 20 blocks, as far as there are blocks; the first that decides stands.

    Values are (data sets, blocks, arms of the side), every one of them there.
    """
    sets, blocks, _ = posed[0].predicted[0].shape
    taken = [look for look in LOOKS if look <= blocks]
    shape = (sets, len(posed))
    verdict, at = np.full(sets, UNDECIDED), np.zeros(sets, np.int64)
    p, p_excluded = np.ones(shape), np.ones(shape)

    def tested(pair: Sides, look: int, which: NDArray[np.bool_]) -> Array:
        first, second = (side[which, :look] for side in pair)
        return block_p(first, second, draws)

    for look in taken:
        still = verdict == UNDECIDED
        if not still.any():
            break
        at[still] = look
        p[still] = np.stack([tested(each.predicted, look, still) for each in posed], axis=1)
        p_excluded[still] = holm(np.stack([tested(each.contrary, look, still) for each in posed], axis=1))
        verdict[still] = _verdict(p[still], p_excluded[still], posed, LEVELS[look])
    return Decisions(verdict, at, p, p_excluded)


def decide_columns(posed: Sequence[Sequence[Posed]], draws: int = studentised.DRAWS) -> Decisions:
    """One look, at level .05 and with p doubled; `posed` has of each contrast its columns.

    Values are (data sets, runs of the side).
    """

    def two_sided(pair: Callable[[Posed], Sides]) -> Array:
        one_sided = [strata_p([pair(column) for column in columns], draws) for columns in posed]
        return np.minimum(1.0, 2 * np.stack(one_sided, axis=1))

    found = two_sided(lambda each: each.predicted)
    excluded = holm(two_sided(lambda each: each.contrary))
    verdict = _verdict(found, excluded, [columns[0] for columns in posed], COLUMNS_LEVEL)
    return Decisions(verdict, np.zeros(len(verdict), np.int64), found, excluded)


def _verdict(found: Array, excluded: Array, posed: Sequence[Posed], level: float) -> NDArray[np.int64]:
    """From p of shape (data sets, contrasts)."""
    is_found, is_excluded = found <= level, excluded <= level
    equal = np.array([each.not_better for each in posed])  # where a small difference counts for the contrast
    holds = is_found & (equal | ~is_excluded)
    fails = is_excluded & ~(equal & is_found)
    return np.where(fails.any(1), CONTRADICTED, np.where(holds.all(1), SUPPORTED, UNDECIDED))
