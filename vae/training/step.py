"""One optimizer step, and what is measured of it."""

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from vae.loss.loss import Loss
from vae.model.protocol import LOGVAR_BOUND, Autoencoder
from vae.optim import clipping
from vae.optim.clipping import ClippingPolicy
from vae.optim.skipping import SkipPolicy
from vae.stability.edge import stable_adamw_rms


def train_step(
    model: Autoencoder,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    policy: ClippingPolicy,
    skipping: SkipPolicy,
    batch: Tensor,
    noise: Tensor,
    *,
    kl_weight: float,
    progress: float = 1.0,
    measure_update: bool = False,
) -> dict[str, Tensor]:
    """One optimizer step on (B, 3, H, W) uint8 tiles; noise (B, latent_dim) is standard normal.

    Returns float32 scalars on the device: loss, recon_loss, kl (summed over an image, averaged over the
    batch), grad_norm (global L2, before clipping), clipped, skipped, fatal (0 or 1; fatal: the step is not
    finite and the skipping policy does not skip it), max_logvar and logvar_clamp_fraction (of the encoder's
    raw values in the batch; the latter is their share outside the clamp, nan without one), and update_ratio =
    |dtheta| / |theta| and stable_adamw_rms (nan unless `measure_update`); and extra_NAME of what the network
    adds to the loss. A skipped or fatal step leaves weights, optimizer and batch norm's statistics as they
    were.
    """
    parameters = [*model.trained(), *loss.parameters()]
    # A forward pass that is not finite would spoil batch norm's running statistics for good.
    buffers = [(b, b.clone()) for b in model.buffers()] if skipping.kind != "none" else []
    optimizer.zero_grad(set_to_none=True)
    terms, output = loss(model, batch, noise, kl_weight, progress)
    torch.autograd.backward(terms.loss)
    grad_norm = get_total_norm(clipping.gradients(parameters))
    # One transfer for both: each float() would wait for the device.
    value, norm = torch.stack([terms.loss.detach(), grad_norm]).tolist()
    decision = skipping.decide(value, norm, parameters)
    unmeasured = torch.full((), torch.nan, device=batch.device)
    clipped, update_ratio, rms = torch.zeros_like(unmeasured), unmeasured, unmeasured
    if decision.skip:
        for buffer, before_step in buffers:
            buffer.copy_(before_step)
    else:
        clipped = policy.clip(parameters, skipping.norm_now(grad_norm, decision)).float()
        before = [p.detach().clone() for p in parameters] if measure_update else []
        optimizer.step()
        if measure_update:
            rms = stable_adamw_rms(optimizer, parameters)
            # before - after, in place: one copy of the weights, not two.
            size = get_total_norm(before)
            torch._foreach_sub_(before, [p.detach() for p in parameters])
            update_ratio = get_total_norm(before) / size
    raw = output.raw_logvar.detach()
    clamps = model.config.logvar_bound == "clamp"
    return {
        "loss": terms.loss.detach(),
        "recon_loss": terms.recon_loss.detach(),
        "kl": terms.kl.detach(),
        "grad_norm": grad_norm,
        "clipped": clipped,
        "skipped": torch.full_like(grad_norm, decision.skip and not decision.fatal),
        "fatal": torch.full_like(grad_norm, decision.fatal),
        "max_logvar": raw.max(),
        "logvar_clamp_fraction": (raw.abs() > LOGVAR_BOUND).float().mean() if clamps else unmeasured,
        "update_ratio": update_ratio,
        "stable_adamw_rms": rms,
        **{f"extra_{name}": value.detach() for name, value in terms.extra.items()},
    }
