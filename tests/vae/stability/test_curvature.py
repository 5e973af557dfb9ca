"""What is measured along an update is right where a closed form says what it must be."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from vae.stability.curvature import (
    alpha,
    critical_sharpness,
    edge_ratio_quadratic,
    update_direction,
    valley_position,
)

EIGENVALUES = torch.tensor([1.0, 3.0, 7.0, 20.0], dtype=torch.float64)


def quadratic(eigenvalues: Tensor = EIGENVALUES) -> tuple[list[Parameter], Callable[[], Tensor]]:
    """1/2 x' H x in a rotated basis, x away from 0."""
    n = len(eigenvalues)
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    hessian = basis @ torch.diag(eigenvalues) @ basis.T
    x = Parameter(torch.randn(n, generator=generator, dtype=torch.float64))
    return [x], lambda: 0.5 * x @ hessian @ x


def descend(
    parameters: list[Parameter], loss: Callable[[], Tensor], lr: float, steps: int
) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(parameters, lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    optimizer.zero_grad()
    loss().backward()  # type: ignore[no-untyped-call]
    return optimizer


@pytest.mark.parametrize("distance", [0.5, 0.9, 1.0, 1.05])
def test_edge_ratio_is_the_lr_over_that_of_the_border_of_gradient_descent(distance: float) -> None:
    """At the border 2 / lambda_max the direction turns into the top eigenvector, and the ratio into 1."""
    parameters, loss = quadratic()
    lr = distance * 2 / 20
    optimizer = descend(parameters, loss, lr, 60)
    u = update_direction(optimizer, parameters, lr)
    slope = float(sum((p.grad * d).sum() for p, d in zip(parameters, u, strict=True)))  # type: ignore[operator]
    by_product = edge_ratio_quadratic(loss, parameters, u, lr)
    by_search = lr * critical_sharpness(loss, parameters, u, lr, slope) / 2
    assert by_search == pytest.approx(by_product, rel=1e-6)
    if distance == 1.0:
        assert by_product == pytest.approx(1, rel=0.02)
    elif distance < 1:
        assert by_product < 1
    else:
        assert by_product == pytest.approx(distance, rel=0.02)


@pytest.mark.parametrize("guess", [0.3, 1.0, 3.0, 10.0])
def test_the_line_search_finds_a_border_that_is_not_quadratic_from_anywhere(guess: float) -> None:
    """L = x^4 / 4 from x = 1 along -1: back at its start where (1 - a)^4 = 1, a = 2."""
    x = Parameter(torch.ones(1, dtype=torch.float64))
    sharpness = critical_sharpness(
        lambda: x.pow(4).sum() / 4, [x], [-torch.ones(1, dtype=torch.float64)], guess, -1.0
    )
    assert 2 / sharpness == pytest.approx(2, rel=0.1 if guess <= 3 else 0.5)
    assert x.item() == 1


def test_a_direction_that_climbs_is_beyond_every_edge() -> None:
    parameters, loss = quadratic()
    u = list(torch.autograd.grad(loss(), parameters))
    assert edge_ratio_quadratic(loss, parameters, u, 0.1) == math.inf
    assert critical_sharpness(loss, parameters, u, 0.1, 1.0) == math.inf
    assert alpha(loss, parameters, u, 0.1, 1.0) == math.inf


@pytest.mark.parametrize("lr", [0.003, 0.1, 3.0])
@pytest.mark.parametrize("which", range(4))
def test_critical_sharpness_along_an_eigenvector_is_its_eigenvalue(which: int, lr: float) -> None:
    parameters, loss = quadratic()
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True)[0]
    rows = [torch.autograd.grad(g, parameters, retain_graph=True)[0] for g in gradients]
    values, vectors = torch.linalg.eigh(torch.stack(rows))
    with torch.no_grad():
        parameters[0].copy_(vectors[:, which])
    u = [-values[which] * vectors[:, which]]
    found = critical_sharpness(loss, parameters, u, lr, -(float(values[which]) ** 2))
    assert found == pytest.approx(float(EIGENVALUES[which]), rel=1e-3)


@pytest.mark.parametrize("distance", [0.1, 0.5, 1.0, 1.3])
def test_alpha_says_where_in_the_valley_of_a_quadratic_a_step_ends(distance: float) -> None:
    """0 at the floor, half way to the edge; 1 at the other side, which is the edge; linear between."""
    parameters, loss = quadratic()
    before = parameters[0].detach().clone()
    (g,) = torch.autograd.grad(loss(), parameters)
    u, slope = [-g], -float(g @ g)
    lr = distance / edge_ratio_quadratic(loss, parameters, u, 1.0)
    assert alpha(loss, parameters, u, lr, slope) == pytest.approx(2 * distance - 1, abs=1e-9)
    assert torch.equal(parameters[0], before)


def test_alpha_is_that_of_the_least_squares_parabola_where_the_loss_is_none() -> None:
    """Against numpy, for what no parabola goes through; and -1 without a floor, inf past it all."""
    draws = np.random.default_rng(0).standard_normal((200, 2))
    for end, end_slope in draws:
        start, start_slope = 1.0, -1.0
        observed = np.array([start, end, start_slope, end_slope])
        design = np.array([[1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 2]])
        _, first, second = np.linalg.lstsq(design, observed, rcond=None)[0]
        expected = -1.0 if second <= 0 else -2 * second / first - 1 if first < 0 else math.inf
        assert valley_position(start, end, start_slope, end_slope) == pytest.approx(expected)
    assert valley_position(1.0, 100.0, -1.0, 200.0) > 1
    assert valley_position(1.0, math.nan, -1.0, 2.0) == math.inf


def test_the_update_direction_leaves_a_fused_adam_as_it_was() -> None:
    parameters, loss = quadratic()
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    before = parameters[0].detach().clone()
    state = {k: v.clone() for k, v in optimizer.state[parameters[0]].items()}
    u = update_direction(optimizer, parameters, 0.05)
    assert torch.equal(parameters[0], before)
    assert all(torch.equal(v, optimizer.state[parameters[0]][k]) for k, v in state.items())
    assert optimizer.param_groups[0]["lr"] == 0.1
    optimizer.step()
    torch.testing.assert_close(parameters[0].detach(), before + 0.1 * u[0])
