"""One optimizer step, and what is measured of it.

Nothing in it asks the device for a value, unless a clipping policy or an optimizer does that itself
(`on_device`, `takes_found_inf`): decisions are masks, and whatever must stay as it was is put back by them.
So a GPU is never waited for within a step, and a whole step can be captured as a CUDA graph.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from vae.loss.loss import Loss
from vae.model.protocol import LOGVAR_BOUND, Autoencoder
from vae.optim import clipping, optimizers
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
    kl_weight: float | Tensor,
    progress: float | Tensor = 1.0,
    measure_update: bool = False,
    alive: Tensor | None = None,
    buffers: Sequence[Tensor] | None = None,
) -> dict[str, Tensor]:
    """One optimizer step on (B, 3, H, W) uint8 tiles; noise (B, latent_dim) is standard normal.

    kl_weight and progress: numbers, or scalars on the device, float32 and float64. alive: a boolean scalar;
    where it is False the step changes nothing. buffers: what holds the model's buffers, if not they
    themselves (`vae.training.flat`).

    Returns float32 scalars on the device: loss, recon_loss, kl (summed over an image, averaged over the
    batch), grad_norm (global L2, before clipping), clipped, skipped, fatal (0 or 1; fatal: the step is not
    finite and the skipping policy does not skip it), max_logvar and logvar_clamp_fraction (of the encoder's
    raw values in the batch; the latter is their share outside the clamp, nan without one), and update_ratio =
    |dtheta| / |theta| and stable_adamw_rms (nan unless `measure_update`); and extra_NAME of what the network
    adds to the loss. A skipped or fatal step leaves weights, optimizer and, unless `skip` is none, batch
    norm's statistics as they were.
    """
    parameters = [*model.trained(), *loss.parameters()]
    # A forward pass that is not finite would spoil batch norm's running statistics for good.
    kept = list(model.buffers() if buffers is None else buffers)
    before_pass = [b.clone() for b in kept] if skipping.kind != "none" or alive is not None else []
    optimizer.zero_grad(set_to_none=True)
    terms, output = loss(model, batch, noise, kl_weight, progress)
    torch.autograd.backward(terms.loss)
    grad_norm = get_total_norm(clipping.gradients(parameters))
    decision = skipping.decide(terms.loss.detach(), grad_norm, parameters, alive)
    if before_pass:
        changes = alive if skipping.kind == "none" and alive is not None else decision.take
        for buffer, before in zip(kept, before_pass, strict=True):
            buffer.copy_(torch.where(changes, buffer, before))
    unmeasured = torch.full((), torch.nan, device=batch.device)
    clipped, update_ratio, rms = torch.zeros_like(unmeasured), unmeasured, unmeasured
    if policy.on_device or decision.take:
        norm = skipping.norm_now(grad_norm, decision)
        acts = policy.clip(parameters, torch.where(decision.take, norm, torch.nan))
        clipped = (acts.to(batch.device) & decision.take).float()
    weights_before = [p.detach().clone() for p in parameters] if measure_update else []
    optimizers.step(optimizer, decision.take)
    if measure_update:
        rms = torch.where(decision.take, stable_adamw_rms(optimizer, parameters), torch.nan)
        # before - after, in place: one copy of the weights, not two.
        size = get_total_norm(weights_before)
        torch._foreach_sub_(weights_before, [p.detach() for p in parameters])
        update_ratio = torch.where(decision.take, get_total_norm(weights_before) / size, torch.nan)
    raw = output.raw_logvar.detach()
    clamps = model.config.logvar_bound == "clamp"
    return {
        "loss": terms.loss.detach(),
        "recon_loss": terms.recon_loss.detach(),
        "kl": terms.kl.detach(),
        "grad_norm": grad_norm,
        "clipped": clipped,
        "skipped": decision.skipped.float(),
        "fatal": decision.fatal.float(),
        "max_logvar": raw.max(),
        "logvar_clamp_fraction": (raw.abs() > LOGVAR_BOUND).float().mean() if clamps else unmeasured,
        "update_ratio": update_ratio,
        "stable_adamw_rms": rms,
        **{f"extra_{name}": value.detach() for name, value in terms.extra.items()},
    }
