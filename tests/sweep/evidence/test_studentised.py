from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from sweep.evidence.studentised import Strata, _all_labellings, _stratum, strata_p

RNG = np.random.default_rng(0)


def strata(sizes: list[tuple[int, int]], sets: int = 1, scale: float = 1.0) -> Strata:
    return [(RNG.normal(0, scale, (sets, n)), RNG.normal(size=(sets, m))) for n, m in sizes]


def test_the_statistic_is_brunner_and_munzels() -> None:
    worse, better = np.array([3.0, 5, 5, 9, 12]), np.array([1.0, 2, 5, 6])
    distance, variance = _stratum(np.r_[worse, better][None], _all_labellings(5, 4)[:1])
    expected = stats.brunnermunzel(better, worse).statistic
    assert distance[0, 0] / np.sqrt(variance[0, 0]) == pytest.approx(expected)


def test_p_is_the_share_of_labellings_that_are_as_extreme() -> None:
    ((worse, better),) = strata([(4, 4)])
    runs = np.r_[worse[0], better[0]]
    statistics = []
    for chosen in combinations(range(8), 4):
        first, second = runs[list(chosen)], np.delete(runs, list(chosen))
        if (first.min() > second.max()) or (first.max() < second.min()):
            statistics.append(np.inf if first.min() > second.max() else -np.inf)
        else:
            statistics.append(stats.brunnermunzel(second, first).statistic)
    expected = np.mean([each >= statistics[0] - 1e-9 for each in statistics])
    assert strata_p([(worse, better)])[0] == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_p_of_sides_that_are_alike_is_small_no_more_often_than_it_says(scale: float) -> None:
    p = strata_p(strata([(3, 3), (4, 3), (3, 5)], sets=2000, scale=scale), draws=999)
    assert (p <= 0.025).mean() < 0.04


def test_the_same_data_have_the_same_p() -> None:
    many = strata([(6, 6)] * 3)
    assert strata_p(many) == strata_p(many)


def test_strata_do_not_mix() -> None:
    near = [np.array([[756.0, 840, 776]]), np.array([[1e5, 1.1e5, 1.2e5]]), np.array([[np.inf] * 3])]
    middle = [np.array([[602.0, 579, 585]]), np.array([[425.0, 450, 375]]), np.array([[482.0, 841, 518]])]
    assert strata_p(list(zip(near, middle, strict=True)))[0] == 1 / 8000
