"""The loss along an update: where it is back at its start, and where in the valley the step ends.

Expensive: for evaluation only. All take the loss as a function of the weights alone: a fixed batch, fixed
noise, the KL weight frozen, float32. Batch norm uses the batch's statistics as in training; its running
statistics are restored.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch
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


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Sum over all tensors and elements of a * b, a scalar."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


@contextlib.contextmanager
def moved(parameters: Sequence[Tensor], u: Sequence[Tensor], lr: float) -> Iterator[None]:
    """Weights theta + lr * u inside; afterwards, bit for bit, as before."""
    before = [p.detach().clone() for p in parameters]
    try:
        with torch.no_grad():
            for p, b, direction in zip(parameters, before, u, strict=True):
                p.copy_(b + lr * direction)
        yield
    finally:
        with torch.no_grad():
            for p, b in zip(parameters, before, strict=True):
                p.copy_(b)


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
    slope = dot(gradients, u)
    product = torch.autograd.grad(slope, parameters, materialize_grads=True)
    curvature = abs(float(dot(product, u)))
    descent = max(-float(slope.detach()), 0.0)
    if descent == 0:
        return math.inf
    return lr * curvature / (2 * descent)


def critical_sharpness(
    loss: LossFunction, parameters: Sequence[Tensor], u: Sequence[Tensor], lr: float, slope: float
) -> float:
    """2 / lr_c with lr_c the smallest learning rate found at which the loss along u is not below its start
    (Kalra et al. 2026, arXiv 2601.16979). lr / lr_c = lr * critical_sharpness / 2 is 1 at the edge.

    For a quadratic loss it is |u' H u| / -<g, u>, so that lr / lr_c is `edge_ratio_quadratic`, and for
    gradient descent along an eigenvector it is the eigenvalue. lr: the first guess; slope = <g, u>. The root
    of (L(theta + a u) - L(theta)) / a is sought by secants from its value at 0, the slope: exact after one
    for a quadratic. At most `LINE_SEARCH_PASSES` + 1 forward passes; the weights are restored. inf if u does
    not descend, next to 0 if the loss keeps falling.
    """
    if not slope < 0:
        return math.inf

    def mean_slope(step_lr: float) -> float:
        with moved(parameters, u, step_lr), torch.no_grad():
            value = (float(loss()) - start) / step_lr
        return value if math.isfinite(value) else math.inf

    with torch.no_grad():
        start = float(loss())
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
    return 2 / critical


def _next_lr(below: tuple[float, float], above: tuple[float, float], slope: float) -> float:
    (a, fa), (b, fb) = below, above
    if math.isinf(b):  # still falling: extrapolate the secant from 0, at most tenfold
        rise = fa - slope
        return min(10 * a, a * -slope / rise) if rise > 0 else 10 * a
    if math.isinf(fb) or (a and b / a > 10):  # too wide a bracket for a straight line
        return math.sqrt(a * b) if a else b / 10
    return a + (b - a) * -fa / (fb - fa)


def alpha(
    loss: LossFunction, parameters: Sequence[Tensor], u: Sequence[Tensor], lr: float, slope: float
) -> float:
    """Where the step lr * u ends in the valley that it crosses: -1 at its start, 0 on the floor, 1 at the
    same height on the other side, more beyond it (Cockpit: Schneider et al. 2021, arXiv 2102.06604).

    The valley is the parabola fitted by least squares to the losses and the slopes along u at both ends of
    the step, slopes in loss per step. Both ends are of the same batch and noise, so the four count alike,
    where Cockpit, whose ends are of different batches, weighs them by their variances. For a quadratic loss
    it is 2 * `edge_ratio_quadratic` - 1. slope = <g, u>; two forward passes and a backward pass, and the
    weights are restored. -1 where the parabola has no floor, as Cockpit has it; inf if u does not descend,
    or the loss is not finite at the end.
    """
    if not slope < 0:
        return math.inf
    with torch.no_grad():
        start = float(loss())
    with moved(parameters, u, lr):
        end = loss()
        end_slope = float(dot(torch.autograd.grad(end, parameters, materialize_grads=True), u))
    return valley_position(start, float(end.detach()), lr * slope, lr * end_slope)


def valley_position(start: float, end: float, start_slope: float, end_slope: float) -> float:
    """`alpha`, from losses at both ends of a step and slopes there, in loss per step."""
    if not all(map(math.isfinite, (start, end, start_slope, end_slope))):
        return math.inf
    # A parabola through slopes a and b climbs by (a + b) / 2. What the loss climbs beyond that is spread over
    # the four observations, a fifth of it on each slope: the least squares solution.
    first = start_slope + (end - start - (start_slope + end_slope) / 2) / 5
    bend = end_slope - start_slope
    if bend <= 0:
        return -1.0
    return -bend / first - 1 if first < 0 else math.inf
