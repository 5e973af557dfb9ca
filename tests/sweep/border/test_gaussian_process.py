"""Inference against brute force, and bands that hold what they say."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from scipy.stats import norm

from sweep.border.gaussian_process import Parameters, Runs, infer
from sweep.border.link import Floats, Link
from sweep.border.mapper import Task, posterior
from tests.sweep.border.synthetic import Border, Crossing, run_map, synthetic


def one(tail: float = 0.0) -> Parameters:
    rough, share, reach, variation, length, seed_sd = (
        np.array([value]) for value in (0.1, tail, 0.8, 0.2, 0.5, 0.1)
    )
    return Parameters(variation, length, seed_sd, Link(rough, share, reach))


ONE = one()


def test_one_cell_agrees_with_numerical_integration() -> None:
    x, crossed = np.array([0.0, 0.25, 0.5]), np.array([False, True, True])
    found = infer(Runs(np.array([[0.5]]), np.zeros(3, dtype=np.intp), x, crossed), ONE)
    f = np.linspace(-8, 8, 160_001)
    prior_b = 4 + 0.2**2
    density = norm.pdf(f, 0, np.sqrt(prior_b + 0.1**2))
    for at, outcome in zip(x, crossed, strict=True):
        density *= norm.cdf((1 if outcome else -1) * (at - f) / 0.1)
    density /= np.trapezoid(density, f)
    mean = np.trapezoid(f * density, f)
    variance = np.trapezoid((f - mean) ** 2 * density, f)
    share = prior_b / (prior_b + 0.1**2)
    got_mean, got_variance = found.border(np.array([[0.5]]))
    assert got_mean[0, 0] == pytest.approx(share * mean, abs=0.005)
    assert got_variance[0, 0, 0] == pytest.approx(prior_b - share * prior_b + share**2 * variance, rel=0.1)


@pytest.mark.parametrize("crossed", [(False, True, True), (True, False, True), (True, True, False)])
def test_a_ragged_cell_agrees_with_numerical_integration(crossed: tuple[bool, ...]) -> None:
    """Also where a run crossed below stable ones, of which a probit cannot make sense."""
    x = np.array([-0.4, 0.0, 0.3])
    found = infer(Runs(np.array([[0.5]]), np.zeros(3, dtype=np.intp), x, np.array(crossed)), one(tail=0.4))
    f = np.linspace(-8, 8, 160_001)
    prior = 4 + 0.2**2
    density = norm.pdf(f, 0, np.sqrt(prior + 0.1**2))
    for at, outcome in zip(x, crossed, strict=True):
        p = 0.6 * norm.cdf((at - f) / 0.1) + 0.4 * norm.cdf((at - f + 0.8) / 0.1)
        density *= p if outcome else 1 - p
    density /= np.trapezoid(density, f)
    mean = np.trapezoid(f * density, f)
    spread = np.sqrt(np.trapezoid((f - mean) ** 2 * density, f))
    got_mean, got_variance = (float(of[0, 0]) for of in found.cells())
    assert got_mean == pytest.approx(mean, abs=0.35 * spread)
    assert np.sqrt(got_variance) == pytest.approx(spread, rel=0.35)


def test_two_cells_agree_with_numerical_integration() -> None:
    z, cell = np.array([[0.0], [1.0]]), np.array([0, 0, 1])
    x, crossed = np.array([-0.2, 0.1, 0.3]), np.array([False, True, True])
    found = infer(Runs(z, cell, x, crossed), ONE)
    r = np.sqrt(5.0) / 0.5
    shared = 4 * (1 - 0.25) + 0.04 * (1 + r + r**2 / 3) * np.exp(-r)
    own = 4 * (1 + 0.25) + 0.04
    grid = np.linspace(-7, 7, 1401)
    f, g = np.meshgrid(grid, grid, indexing="ij")
    inverse = np.linalg.inv(np.array([[own + 0.01, shared], [shared, own + 0.01]]))
    density = np.exp(-0.5 * (inverse[0, 0] * f**2 + 2 * inverse[0, 1] * f * g + inverse[1, 1] * g**2))
    density *= norm.cdf((f + 0.2) / 0.1) * norm.cdf((0.1 - f) / 0.1) * norm.cdf((0.3 - g) / 0.1)
    density /= density.sum()
    # b given f is Gaussian, so its mean is linear in that of f.
    mean_f = np.array([(f * density).sum(), (g * density).sum()])
    expected = np.array([[own, shared], [shared, own]]) @ inverse @ mean_f
    assert found.border(z)[0][0] == pytest.approx(expected, abs=0.03)


def test_where_the_evidence_is_the_spread_follows_it() -> None:
    """Runs that cross and do not by turns over nine tenths of a decade speak for a ragged border."""
    x = np.tile(np.arange(-1, 1, 0.1), 3)
    cell, z = np.repeat(np.arange(3), 20), np.full((3, 1), 0.5)
    by_turns = np.arange(60) % 2 == 0
    sharp = infer(Runs(z, cell, x, x > 0.05))
    wide = infer(Runs(z, cell, x, (x > 0.45) | (by_turns & (x > -0.45))))
    assert sharp.weights @ sharp.parameters.sigma < 0.13
    assert sharp.weights @ sharp.parameters.link.tail < 0.1
    assert wide.weights @ wide.parameters.link.tail > 0.3
    for found, low, high in ((sharp, 0.0, 0.1), (wide, 0.3, 0.6)):
        border, chosen = found.draw(np.array([[0.5]]), 1000)
        assert low <= found.crossing(-0.25 - border[:, 0], chosen).mean() <= high


def test_draws_are_the_same_every_time() -> None:
    runs = Runs(np.array([[0.0], [1.0]]), np.array([0, 1]), np.array([0.0, 0.5]), np.array([False, True]))
    one, other = (infer(runs).draw(np.array([[0.0], [1.0]]), 100)[0] for _ in range(2))
    assert np.array_equal(one, other)


def coverage(task: Task, draws: Iterable[tuple[Border, Floats]]) -> float:
    """How often the 90 % bands hold the true borders; the mapper chooses the runs, as it does in a study."""
    covered = []
    for truth, border in draws:
        found, _ = posterior(task, run_map(task, truth), 128).draw(task.z, 2000)
        low, high = np.quantile(found + task.middle, [0.05, 0.95], axis=0)
        covered.append((low <= border) & (border <= high))
    return float(np.mean(covered))


@pytest.mark.slow
@pytest.mark.parametrize("look_below", [0.0, 0.6])
@pytest.mark.parametrize("kind", ["flat", "sloped", "stepped", "ragged"])
def test_bands_hold_the_true_border_whatever_its_shape(
    make_task: Callable[..., Task], kind: str, look_below: float
) -> None:
    """50 draws of each shape over the columns, of any spread of seeds and runs."""
    drawn = [synthetic(kind, seed) for seed in range(50)]
    found = coverage(make_task(look_below=look_below), ((truth, truth.b) for truth in drawn))
    assert 0.85 <= found <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["probit", "wide", "shared", "islands", "tail"])
def test_bands_hold_the_true_border_however_runs_cross_it(make_task: Callable[..., Task], kind: str) -> None:
    """200 draws of each way to cross, in the setting that a study has."""
    task = make_task(step=0.25, column_budget=18, look_below=0.6)
    drawn = [Crossing.drawn(kind, seed) for seed in range(200)]
    assert 0.85 <= coverage(task, ((truth, truth.half) for truth in drawn)) <= 0.95
