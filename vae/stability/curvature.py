"""How far a step is from the edge of stability: two ratios that are 1 there. Expensive: for evaluation only.

Both take the loss as a function of the weights alone: a fixed batch, fixed noise, the KL weight frozen,
float32. Batch norm uses the batch's statistics as in training; its running statistics are restored.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from vae.optim.optimizers import set_lr

LossFunction = Callable[[], Tensor]
LINE_SEARCH_PASSES = 5
CLOSE_ENOUGH = 1e-3


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Training mode inside; afterwards mode, gradients and buffers (batch norm's running statistics) are as
    before."""
    training = model.training
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    model.train()
    try:
        yield
    finally:
        model.train(training)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def update_direction(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], lr: float
) -> list[Tensor]:
    """(theta_after - theta_before) / lr of the step that the optimizer would take with the gradients in
    `.grad`.

    The step is made and undone: weights, gradients, the optimizer's state and its groups are restored.
    An optimizer that keeps anything elsewhere must not be given (`vae.optim.optimizers`).
    """
    before = [p.detach().clone() for p in parameters]
    gradients = [p.grad for p in parameters]
    state = {
        p: {k: v.clone() if isinstance(v, Tensor) else v for k, v in optimizer.state[p].items()}
        for p in parameters
        if p in optimizer.state
    }
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    groups = copy.deepcopy(groups)
    set_lr(optimizer, lr)
    for p, gradient in zip(parameters, gradients, strict=True):
        # A copy, because an optimizer may change the gradient in place, as schedulefree does.
        p.grad = gradient if gradient is None else gradient.clone()
    optimizer.step()
    with torch.no_grad():
        direction = [(p - b) / lr for p, b in zip(parameters, before, strict=True)]
        for p, b in zip(parameters, before, strict=True):
            p.copy_(b)
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient
        optimizer.state.pop(p, None)
        if p in state:
            optimizer.state[p] = state[p]
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        group.update(settings)
    return direction


def edge_ratio_quadratic(
    loss: LossFunction, parameters: Sequence[Tensor], u: Sequence[Tensor], lr: float
) -> float:
    """lr / lr_c with lr_c = 2 max(-<g, u>, 0) / |u' H u|; one Hessian-vector product.

    lr_c is where the quadratic model of the loss along the update direction u is back at its start (CDAT's
    rule at sigma = 2, Roulet et al. 2024, arXiv 2407.06183). inf if u does not descend.
    """
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)
    slope = _dot(gradients, u)
    product = torch.autograd.grad(slope, parameters, materialize_grads=True)
    curvature = abs(float(_dot(product, u)))
    descent = max(-float(slope.detach()), 0.0)
    if descent == 0:
        return math.inf
    return lr * curvature / (2 * descent)


def edge_ratio_line_search(
    loss: LossFunction, parameters: Sequence[Tensor], u: Sequence[Tensor], lr: float, slope: float
) -> float:
    """lr / lr_c with lr_c the smallest learning rate found at which the loss along u is not below its start.

    slope = <g, u>. The root of (L(theta + a u) - L(theta)) / a is sought by secants from its value at 0,
    the slope: exact after one for a quadratic. At most `LINE_SEARCH_PASSES` + 1 forward passes; the weights
    are restored. inf if u does not descend, 0 if the loss keeps falling.
    """
    if not slope < 0:
        return math.inf
    before = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def mean_slope(step_lr: float) -> float:
        for p, b, direction in zip(parameters, before, u, strict=True):
            p.copy_(b + step_lr * direction)
        value = (float(loss()) - start) / step_lr
        return value if math.isfinite(value) else math.inf

    with torch.no_grad():
        start = float(loss())
    try:
        below, above = (0.0, slope), (math.inf, math.inf)
        critical = lr
        for _ in range(LINE_SEARCH_PASSES):
            value = mean_slope(critical)
            if abs(value) <= CLOSE_ENOUGH * -slope:
                break
            if value < 0:
                below = (critical, value)
            else:
                above = (critical, value)
            critical = _next_lr(below, above, slope)
    finally:
        with torch.no_grad():
            for p, b in zip(parameters, before, strict=True):
                p.copy_(b)
    return 0.0 if math.isinf(critical) else lr / critical


def _next_lr(below: tuple[float, float], above: tuple[float, float], slope: float) -> float:
    (a, fa), (b, fb) = below, above
    if math.isinf(b):  # still falling: extrapolate the secant from 0, at most tenfold
        rise = fa - slope
        return min(10 * a, a * -slope / rise) if rise > 0 else 10 * a
    if math.isinf(fb) or (a and b / a > 10):  # too wide a bracket for a straight line
        return math.sqrt(a * b) if a else b / 10
    return a + (b - a) * -fa / (fb - fa)


def preconditioned_sharpness(
    loss: LossFunction,
    parameters: Sequence[Tensor],
    preconditioner: Sequence[Tensor],
    lr: float,
    beta1: float,
    *,
    tolerance: float = 1e-2,
    max_products: int = 60,
) -> float:
    """lr * lambda_max(P^-1 H) * (1 - beta1) / (2 (1 + beta1)): 1 is the edge (Cohen et al. 2022,
    arXiv 2207.14484: lambda_max = 38 / lr at beta1 = 0.9).

    preconditioner: the diagonal of P, positive, for Adam sqrt(v_hat) + eps, shaped as the parameters.
    Lanczos (ARPACK through scipy) on P^-1/2 H P^-1/2, which has the same eigenvalues and is symmetric;
    one Hessian-vector product per iteration, at most about `max_products`. nan if it does not converge.
    """
    sizes = [p.numel() for p in parameters]
    scale = torch.cat([p.detach().flatten() for p in preconditioner]).rsqrt()
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.split(torch.as_tensor(np.ravel(vector)).to(scale) * scale, sizes)
        parts = [x.view_as(p) for x, p in zip(v, parameters, strict=True)]
        hv = torch.autograd.grad(
            gradients, parameters, grad_outputs=parts, retain_graph=True, materialize_grads=True
        )
        flat = torch.cat([h.flatten() for h in hv]) * scale
        return flat.cpu().numpy()

    n = sum(sizes)
    # In the weights' precision, because a dozen vectors of all weights are kept, for an eigenvalue to 1 %.
    dtype = scale.cpu().numpy().dtype
    start = np.random.default_rng(0).standard_normal(n).astype(dtype)
    if n < 3:
        matrix = np.stack([product(column) for column in np.eye(n, dtype=dtype)])
        largest = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
    else:
        operator = LinearOperator((n, n), matvec=product, dtype=dtype)
        try:
            values = eigsh(
                operator,
                k=1,
                which="LA",
                v0=start,
                ncv=min(n, 12),
                tol=tolerance,
                maxiter=max(1, max_products // 10),
                return_eigenvectors=False,
            )
        except Exception as error:  # ArpackNoConvergence or a relative: the measurement failed
            if not type(error).__name__.startswith("Arpack"):
                raise
            return math.nan
        largest = float(values[0])
    return lr * largest * (1 - beta1) / (2 * (1 + beta1))
