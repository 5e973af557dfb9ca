"""Sharpnesses are right where the Hessian is known, and 1 at the border is where training starts to grow."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.vae.stability.test_curvature import quadratic
from vae.stability.sharpness import batch_sharpness, preconditioned_sharpness, sharpness


@pytest.mark.parametrize("eigenvalues", [[2.0, 5.0], [1.0, 3.0, 7.0, 20.0], [-30.0, -4.0, 0.0, 2.0]])
def test_sharpness_is_the_largest_eigenvalue_and_not_that_of_the_largest_size(
    eigenvalues: list[float],
) -> None:
    parameters, loss = quadratic(torch.tensor(eigenvalues, dtype=torch.float64))
    assert sharpness(loss, parameters, tolerance=1e-8) == pytest.approx(max(eigenvalues))


def test_sharpness_does_not_depend_on_how_the_weights_are_cut_into_tensors() -> None:
    values = torch.linspace(1, 20, 30, dtype=torch.float64)
    x, y = (Parameter(torch.ones(n, dtype=torch.float64)) for n in (12, 18))

    def loss() -> Tensor:
        return 0.5 * (values * torch.cat([x, y]).square()).sum()

    assert sharpness(loss, [x, y], tolerance=1e-8) == pytest.approx(20)


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


def centred(x: Parameter, eigenvalue: float, at: float) -> Callable[[], Tensor]:
    return lambda: 0.5 * eigenvalue * (x - at).square().sum()


def test_batch_sharpness_is_the_mean_over_batches_of_the_curvature_along_their_own_gradients() -> None:
    """Hessians of 1, 3 and 8 times the identity, and one without a gradient, which has no direction."""
    x = Parameter(torch.ones(5, dtype=torch.float64))
    losses = [centred(x, h, at) for h, at in ((1.0, 0.0), (3.0, -2.0), (8.0, 5.0))]
    assert batch_sharpness(losses, [x]) == pytest.approx(4)
    assert batch_sharpness([*losses, centred(x, 100.0, 1.0)], [x]) == pytest.approx(4)
    assert math.isnan(batch_sharpness([centred(x, 100.0, 1.0)], [x]))


def test_batch_sharpness_of_noisy_batches_exceeds_the_largest_eigenvalue_of_their_mean() -> None:
    """Batch i sees one coordinate alone, with curvature n: the mean loss has curvature 1 in each."""
    n = 8
    x = Parameter(torch.ones(n, dtype=torch.float64))

    def of(i: int) -> Callable[[], Tensor]:
        return lambda: 0.5 * n * x[i].square()

    losses = [of(i) for i in range(n)]
    whole = sharpness(lambda: torch.stack([loss() for loss in losses]).mean(), [x], tolerance=1e-8)
    assert whole == pytest.approx(1)
    assert batch_sharpness(losses, [x]) == pytest.approx(n)


def test_batch_sharpness_is_two_over_the_rate_where_gradient_descent_is_at_its_edge() -> None:
    parameters, loss = quadratic()
    for _ in range(80):
        (g,) = torch.autograd.grad(loss(), parameters)
        with torch.no_grad():
            parameters[0] -= 2 / 20 * g
    assert batch_sharpness([loss], parameters) == pytest.approx(20, rel=1e-3)
