"""Sharpness: curvature of the loss where it is largest, or where the gradient points. For evaluation only.

A loss is a function of the weights alone, as in `vae.stability.curvature`.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from vae.stability.curvature import LossFunction, dot


def sharpness(
    loss: LossFunction,
    parameters: Sequence[Tensor],
    preconditioner: Sequence[Tensor] | None = None,
    *,
    tolerance: float = 1e-2,
    max_products: int = 60,
) -> float:
    """lambda_max(P^-1 H); P is the identity without a preconditioner, H the Hessian of the loss.

    Gradient descent is unstable above 2 / lr; at initialisation it says whether training needs a warm-up
    (Gilmer et al. 2022, arXiv 2110.04369). preconditioner: the diagonal of P, positive, shaped as the
    parameters. Lanczos (ARPACK through scipy) on P^-1/2 H P^-1/2, which has the same eigenvalues and is
    symmetric; one Hessian-vector product per iteration, at most about `max_products`. nan if it does not
    converge.
    """
    sizes = [p.numel() for p in parameters]
    scale = torch.ones(sum(sizes)).to(parameters[0])
    if preconditioner is not None:
        scale = torch.cat([p.detach().flatten() for p in preconditioner]).rsqrt()
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.split(torch.as_tensor(np.ravel(vector)).to(scale) * scale, sizes)
        parts = [x.view_as(p) for x, p in zip(v, parameters, strict=True)]
        hv = torch.autograd.grad(
            gradients, parameters, grad_outputs=parts, retain_graph=True, materialize_grads=True
        )
        flat = torch.cat([h.flatten() for h in hv]) * scale
        return flat.detach().cpu().numpy()

    n = sum(sizes)
    # In the weights' precision, because a dozen vectors of all weights are kept, for an eigenvalue to 1 %.
    dtype = scale.cpu().numpy().dtype
    start = np.random.default_rng(0).standard_normal(n).astype(dtype)
    if n < 3:
        matrix = np.stack([product(column) for column in np.eye(n, dtype=dtype)])
        return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
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
    return float(values[0])


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

    preconditioner: the diagonal of P, for Adam sqrt(v_hat) + eps. nan if `sharpness` does not converge.
    """
    largest = sharpness(loss, parameters, preconditioner, tolerance=tolerance, max_products=max_products)
    return lr * largest * (1 - beta1) / (2 * (1 + beta1))


def batch_sharpness(losses: Iterable[LossFunction], parameters: Sequence[Tensor]) -> float:
    """Mean over batches B of g' H g / |g|^2, g and H the gradient and Hessian of the batch's own loss.

    Under gradient descent on batches of this size, without momentum, it comes to hover at 2 / lr, where the
    largest eigenvalue stays below (Andreyev and Beneventano 2024, arXiv 2412.20553). losses: of the batches;
    a Hessian-vector product each. Batches without a gradient are left out; nan if all are.
    """
    found = []
    for loss in losses:
        gradients = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)
        along = [g.detach() for g in gradients]
        length = float(dot(along, along))
        if length > 0:
            product = torch.autograd.grad(gradients, parameters, grad_outputs=along, materialize_grads=True)
            found.append(float(dot(product, along)) / length)
    return sum(found) / len(found) if found else math.nan
