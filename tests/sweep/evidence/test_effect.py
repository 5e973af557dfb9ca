import numpy as np
import pytest
from scipy import stats

from sweep.evidence.effect import effect, share_worse

RNG = np.random.default_rng(0)


def test_the_ratio_and_its_interval_are_those_of_a_paired_t_test() -> None:
    worse, better = np.exp(RNG.normal(0.2, 0.1, (8, 1))), np.exp(RNG.normal(0, 0.1, (8, 2)))
    found = effect({block: (worse[block], better[block]) for block in range(8)}, paired=True)
    assert found is not None
    assert found.interval is not None
    shifts = np.log(worse[:, 0]) - np.log(better).mean(1)
    low, high = stats.ttest_1samp(shifts, 0).confidence_interval(0.95)
    assert found.kind == "ratio"
    assert found.interval.estimate == pytest.approx(np.exp(shifts.mean()))
    assert (found.interval.low, found.interval.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert list(found.shifts.values()) == pytest.approx(list(shifts))


def test_in_one_column_the_interval_is_welchs() -> None:
    worse, better = RNG.normal(1, 3, 6), RNG.normal(0, 1, 9)
    found = effect({0: (worse, better)}, paired=False)
    assert found is not None
    assert found.interval is not None
    assert found.kind == "difference"
    expected = stats.ttest_ind(worse, better, equal_var=False).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_blocks_with_a_run_that_diverged_are_left_out_of_the_ratio_and_not_of_the_share() -> None:
    pairs = {block: (np.array([2.0]), np.array([1.0, 1.0])) for block in range(4)}
    pairs[4] = (np.array([1.0]), np.array([1.0, np.inf]))
    found, share = effect(pairs, paired=True), share_worse(pairs, "lower", paired=True)
    assert found is not None
    assert found.interval is not None
    assert share is not None
    assert list(found.shifts) == [0, 1, 2, 3]
    assert found.interval.estimate == pytest.approx(2)
    assert share.estimate == pytest.approx((4 + 0.25) / 5)


def test_one_block_has_an_estimate_and_no_interval() -> None:
    found = effect({0: (np.array([2.0]), np.array([1.0]))}, paired=True)
    assert found is not None
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (None, None)


@pytest.mark.parametrize(("blocks", "shift"), [(6, 0.0), (13, 0.5), (20, 1.5)])
def test_the_interval_of_the_share_covers_the_truth(blocks: int, shift: float) -> None:
    truth = stats.norm.cdf(shift / 2**0.5)
    covered = 0
    for _ in range(400):
        worse, better = RNG.normal(shift, 1, (blocks, 1)), RNG.normal(0, 1, (blocks, 2))
        pairs = {block: (np.exp(worse[block]), np.exp(better[block])) for block in range(blocks)}
        share = share_worse(pairs, "lower", paired=True)
        assert share is not None
        assert share.low is not None
        assert share.high is not None
        covered += share.low <= truth <= share.high
    assert covered >= stats.binom.ppf(0.001, 400, 0.95)
