import numpy as np
import pytest

from sweep.evidence.scale import Better, turned

INF = np.inf


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_what_is_not_finite_is_the_worst_whatever_the_direction(direction: Better) -> None:
    first, second = turned(np.array([1.0, INF, np.nan]), np.array([2.0, -INF]), direction)
    assert np.isposinf(first.values[1:]).all()
    assert np.isposinf(second.values[1])
    assert (first.values[0] < second.values[0]) == (direction == "lower")


@pytest.mark.parametrize("direction", ["lower", "higher"])
@pytest.mark.parametrize("values", [[2.0, 3.0], [-2.0, -3.0], [-2.0, 3.0], [0.0, 1.0]])
def test_a_margin_makes_every_value_worse_and_keeps_the_order(values: list[float], direction: Better) -> None:
    first, _ = turned(np.array([*values, INF]), np.array(values), direction)
    worse = first.made_worse(0.05)
    moved = [value != 0 for value in values]
    assert ((worse > first.values)[:2] == moved).all()
    assert (worse >= first.values).all()
    assert (np.argsort(worse) == np.argsort(first.values)).all()


def test_a_margin_is_the_same_ratio_for_positive_and_negative_values() -> None:
    loss, _ = turned(np.array([100.0]), np.array([100.0]), "lower")
    assert np.exp(loss.made_worse(0.05)) == pytest.approx(105)
    score, _ = turned(np.array([105.0]), np.array([1.0]), "higher")
    assert np.exp(-score.made_worse(0.05)) == pytest.approx(100)
    below, _ = turned(np.array([-105.0]), np.array([1.0]), "lower")
    assert below.made_worse(0.05) == pytest.approx(-100)
    likelihood, _ = turned(np.array([-100.0]), np.array([1.0]), "higher")
    assert -likelihood.made_worse(0.05) == pytest.approx(-105)
