"""Both ratios are 1 at borders that are known in closed form."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from vae.stability.curvature import (
    edge_ratio_line_search,
    edge_ratio_quadratic,
    update_direction,
)
from vae.stability.sharpness import preconditioned_sharpness

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
    by_search = edge_ratio_line_search(loss, parameters, u, lr, slope)
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
    ratio = edge_ratio_line_search(
        lambda: x.pow(4).sum() / 4, [x], [-torch.ones(1, dtype=torch.float64)], guess, -1.0
    )
    assert guess / ratio == pytest.approx(2, rel=0.1 if guess <= 3 else 0.5)
    assert x.item() == 1


def test_a_direction_that_climbs_is_beyond_every_edge() -> None:
    parameters, loss = quadratic()
    u = list(torch.autograd.grad(loss(), parameters))
    assert edge_ratio_quadratic(loss, parameters, u, 0.1) == math.inf
    assert edge_ratio_line_search(loss, parameters, u, 0.1, 1.0) == math.inf


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 4, 30])
def test_preconditioned_sharpness_crosses_one_where_frozen_adam_starts_to_grow(beta1: float, n: int) -> None:
    """Adam with its second moment frozen, no bias correction: judged by growth on both sides of 1."""
    parameters, loss = quadratic(torch.linspace(1, 20, n, dtype=torch.float64))
    frozen = [torch.linspace(0.5, 4, n, dtype=torch.float64)]

    def growth(lr: float) -> float:
        x = parameters[0].detach().clone()
        start, momentum, sizes = x.clone(), torch.zeros_like(x), []
        for _ in range(600):
            with torch.no_grad():
                parameters[0].copy_(x)
            (g,) = torch.autograd.grad(loss(), parameters)
            momentum = beta1 * momentum + (1 - beta1) * g
            x = x - lr * momentum / frozen[0]
            sizes.append(float(x.norm()))
        with torch.no_grad():
            parameters[0].copy_(start)
        return sizes[-1] / sizes[len(sizes) // 2]

    unit = preconditioned_sharpness(loss, parameters, frozen, 1.0, beta1, tolerance=1e-6)
    border = 1 / unit
    assert growth(0.97 * border) < 1 < growth(1.03 * border)


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
