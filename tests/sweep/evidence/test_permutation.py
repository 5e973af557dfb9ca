import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.evidence.permutation import PRIOR, block_p, win_share

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)


def values(blocks: int, arms: int, sets: int = 1, diverged: float = 0.0) -> Array:
    drawn = RNG.normal(size=(sets, blocks, arms))
    return np.where(RNG.random(drawn.shape) < diverged, np.inf, drawn)


@pytest.mark.parametrize("diverged", [0.0, 0.4])
def test_p_is_the_share_of_labellings_that_are_as_extreme(diverged: float) -> None:
    blocks = values(5, 3, diverged=diverged)[0]

    def statistic(worse_arm_of_each_block: tuple[int, ...]) -> float:
        shares = []
        for block, arm in zip(blocks, worse_arm_of_each_block, strict=True):
            others = [value for place, value in enumerate(block) if place != arm]
            shares.append(sum((block[arm] > o) + 0.5 * (block[arm] == o) for o in others) / 2 - 0.5)
        return sum(shares) / math.sqrt(sum(share**2 for share in shares) + PRIOR)

    everything = [statistic(labels) for labels in product(range(3), repeat=5)]
    expected = sum(each >= everything[0] - 1e-9 for each in everything) / len(everything)
    assert block_p(blocks[None, :, :1], blocks[None, :, 1:])[0] == pytest.approx(expected)


def test_p_of_arms_that_are_alike_is_at_most_any_level_that_often() -> None:
    for worse, better in ((1, 2), (2, 2), (1, 1), (1, 3)):
        drawn = values(8, worse + better, sets=3000, diverged=0.2)
        p = block_p(drawn[..., :worse], drawn[..., worse:], draws=999)
        for level in (0.01, 0.05, 0.2):
            assert (p <= level).mean() < level + 3.5 * math.sqrt(level / 3000)


def test_what_blocks_share_does_not_count() -> None:
    drawn = values(7, 3, sets=20)
    moved = drawn + RNG.normal(0, 50, (20, 7, 1))
    for worse in (1, 2):
        before = block_p(drawn[..., :worse], drawn[..., worse:])
        assert np.array_equal(before, block_p(moved[..., :worse], moved[..., worse:]))


def test_random_labellings_give_the_same_p_again_and_nearly_the_exact_one() -> None:
    drawn = values(8, 3, sets=20)
    exact = block_p(drawn[..., :1], drawn[..., 1:])
    few = block_p(drawn[..., :1], drawn[..., 1:], draws=5_000)
    assert np.array_equal(few, block_p(drawn[..., :1], drawn[..., 1:], draws=5_000))
    assert not np.array_equal(few, exact)
    assert np.allclose(few, exact, atol=0.03)


def test_runs_that_diverged_are_worst_and_tie() -> None:
    inf = np.inf
    worse, better = np.array([[inf, inf, 1.0]]).T, np.array([[inf, 3.0, 2.0]]).T
    assert win_share(worse, better).tolist() == [0.5, 1.0, 0.0]
    tied = np.full((1, 6, 1), inf)
    assert block_p(tied, np.full((1, 6, 2), inf))[0] == 1.0
    assert block_p(tied, tied)[0] == 1.0


def test_in_a_pair_a_clear_difference_counts_for_more_than_a_small_one() -> None:
    clear = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, -0.1]).reshape(1, 9, 1)
    unclear = np.array([1.0, 2, 3, 4, 5, 6, 7, -8, 0.1]).reshape(1, 9, 1)
    nought = np.zeros((1, 9, 1))
    assert block_p(clear, nought)[0] < 0.012 < block_p(unclear, nought)[0]


def test_in_a_pair_a_failed_run_counts_no_more_than_a_clear_difference() -> None:
    clear, failed = np.arange(1.0, 14), np.arange(1.0, 14)
    clear[-1], failed[-1] = -13, -1e9
    nought = np.zeros((1, 13, 1))
    assert block_p(clear.reshape(1, 13, 1), nought)[0] == block_p(failed.reshape(1, 13, 1), nought)[0] < 0.013
