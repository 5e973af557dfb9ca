"""Optimizers, one module each, found by its name (`optim.optimizer`).

To add one, write `vae/optim/optimizers/<name>.py` with

    build(config, parameters)      a torch optimizer from an `OptimConfig`
    UPDATE_DIRECTION               "trial_step", or None if its update direction is not known
    PACKAGE                        the optional package that `build` imports; leave it out if none
    SCALE_FREE                     True if a step does not grow with the scale of the gradients; else leave it
                                   out
    ONE_RATE                       True if all its parameter groups must have one learning rate; else leave it
                                   out
    preconditioner(optimizer, parameters, config, lr)
                                   what `preconditioned_sharpness` needs; leave it out if not known

What it must keep: it reads `lr` from its parameter groups at every step, and its `state_dict()` is all that
it needs to resume. `UPDATE_DIRECTION = "trial_step"` means that `edge_ratio` may take its update direction
from a step that is made and undone (`vae.stability.curvature.update_direction`), which holds if whatever a
step changes lies in the parameters, in the optimizer's `state` of them and in its parameter groups. Without
it a config that asks for `edge_ratio` is refused. All constants are written as literals, because they are
read without importing the module.
"""

import ctypes
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vae.config import OptimConfig
from vae.names import OPTIMIZERS

if TYPE_CHECKING:  # a command line asks for `needs_package` and should not wait for torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

    Parameters = Sequence[nn.Parameter] | Sequence[dict[str, Any]]


class Preconditioner(NamedTuple):
    """An optimizer's step near a minimum, written as that of momentum averaged with beta1 and divided by P.

    diagonal: of P, positive, one tensor per parameter. lr, beta1: of the averaged form.
    """

    diagonal: "list[Tensor]"
    lr: float
    beta1: float


def build(config: OptimConfig, parameters: "Parameters") -> "Optimizer":
    """The run's optimizer, of parameters or of groups of them (`vae.optim.scaling`).

    Raises:
        ValueError: the optimizer's package is not installed.
    """
    if missing := needs_package(config.optimizer):
        raise ValueError(missing)
    optimizer: Optimizer = OPTIMIZERS.load(config.optimizer).build(config, parameters)
    set_lr(optimizer, config.lr)
    return optimizer


def set_lr(optimizer: "Optimizer", lr: float) -> None:
    """Of every group: lr, times its `lr_scale` if it has one.

    On a GPU in the precision in which a tensor would hold it, so that both ways give the same step.
    """
    for group in optimizer.param_groups:
        rate = lr * group.get("lr_scale", 1.0)
        group["lr"] = ctypes.c_float(rate).value if group["params"][0].is_cuda else rate


def takes_found_inf(optimizer: "Optimizer") -> bool:
    """Whether its step is made or not as a tensor says, `found_inf`, as torch's fused ones do for a
    `GradScaler`; what others do cannot be decided on a device."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def step(optimizer: "Optimizer", take: "Tensor") -> None:
    """Make a step where `take`, a boolean scalar on the device; otherwise leave weights and state alone."""
    if not takes_found_inf(optimizer):
        if take:
            optimizer.step()
        return
    optimizer.found_inf = (~take).float()  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]


def needs_package(optimizer: str) -> str | None:
    """Why the optimizer cannot be used here, as a sentence; None if it can."""
    package = OPTIMIZERS.literal(optimizer, "PACKAGE")
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"optim.optimizer={optimizer} needs the package {package}: pip install {package}"


def preconditioner(
    config: OptimConfig, optimizer: "Optimizer", parameters: "Sequence[Tensor]", lr: float
) -> Preconditioner | None:
    """None if the optimizer's module defines none, or it has not made a step yet."""
    module = OPTIMIZERS.load(config.optimizer)
    found: Preconditioner | None = None
    if hasattr(module, "preconditioner"):
        found = module.preconditioner(optimizer, parameters, config, lr)
    if found is None or all("lr_scale" not in group for group in optimizer.param_groups):
        return found
    # A smaller rate is a larger preconditioner.
    scales = {id(p): g.get("lr_scale", 1.0) for g in optimizer.param_groups for p in g["params"]}
    return found._replace(
        diagonal=[d / scales[id(p)] for d, p in zip(found.diagonal, parameters, strict=True)]
    )


def set_mode(optimizer: "Optimizer", training: bool) -> None:
    """Schedule-free methods train at one point and evaluate at another; other optimizers are unaffected."""
    if hasattr(optimizer, "train"):
        optimizer.train() if training else optimizer.eval()  # type: ignore[attr-defined]


def adam_settings(config: OptimConfig) -> dict[str, Any]:
    """The keyword arguments that Adam and its relatives share."""
    return {
        "lr": config.lr,
        "betas": (config.beta1, config.beta2),
        "eps": config.eps,
        "weight_decay": config.weight_decay,
    }
