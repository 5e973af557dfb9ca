"""The likelihood of held-out images by importance sampling (Burda et al. 2016, equation 8)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae.config import ObjectiveConfig
from vae.loss.likelihoods import Likelihood, LogDensity
from vae.model.pixels import normalise, to_unit
from vae.model.protocol import Autoencoder, bound_logvar

SAMPLES = 64
DECODED = 64
"""Images that are decoded at once."""


class NegativeLogLikelihood(NamedTuple):
    """Of images in grey levels from 0 to 255, one value an image, in float64.

    nats (N,); bits_per_dim (N,) are nats / (values of an image * log 2). discrete: of the probability of the
    image's levels (`discretized_logistic`). Otherwise of a density over real numbers: about
    that probability where its standard deviation is larger than a level, and below any bound where it is not.
    The two do not compare.
    """

    nats: Tensor
    bits_per_dim: Tensor
    samples: int
    discrete: bool


@torch.no_grad()
def negative_log_likelihood(
    model: Autoencoder,
    likelihood: Likelihood,
    objective: ObjectiveConfig,
    tiles: Tensor,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> NegativeLogLikelihood:
    """tiles (N, 3, H, W) uint8, in float32 and evaluation mode, with `samples` latents an image.

    An upper bound of -log p(x) on average, which falls to it as `samples` grows. p(x) is the model's own: the
    prior and the density of `likelihood`, with nothing of `objective.kl_rule`; of `mse_sum` the Gaussian of
    variance `kl_weight` / 2 whose bound was trained, so that models of different KL weights do not compare.

    Raises:
        ValueError: the likelihood is no density (`Likelihood.log_density`), or samples is below 1.
    """
    config, training = model.config, model.training
    model.eval()
    device = next(model.parameters()).device
    x = normalise(tiles.to(device), config.output_range, model.memory_format)
    mu, raw = (torch.cat(part) for part in zip(*map(model.encode, torch.split(x, DECODED)), strict=True))
    logvar = bound_logvar(raw, config.logvar_bound)

    def decode(z: Tensor) -> Tensor:
        recon: Tensor = model.decode(z).float()
        return recon

    means = torch.cat([decode(part) for part in torch.split(mu, DECODED)])
    log_p = log_likelihood(
        x, mu, logvar, decode, likelihood.log_density(objective, means, x), samples=samples, seed=seed
    )
    model.train(training)
    nats = -log_p
    if not likelihood.discrete:
        nats = nats + _log_levels(config.output_range) * x[0].numel() / 3
    return NegativeLogLikelihood(
        nats, nats / (x[0].numel() * math.log(2)), samples, discrete=likelihood.discrete
    )


@torch.no_grad()
def log_likelihood(
    x: Tensor,
    mu: Tensor,
    logvar: Tensor,
    decode: Callable[[Tensor], Tensor],
    log_density: LogDensity,
    *,
    samples: int,
    seed: int = 0,
) -> Tensor:
    """log of the mean over `samples` latents z ~ q(z|x) of p(x|z) p(z) / q(z|x): (N,) float64, on the CPU.

    x (N, 3, H, W); q = N(mu, exp(logvar)), each (N, D). decode: (B, D) -> (B, 3, H, W).
    """
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, not {samples}")
    generator = torch.Generator().manual_seed(seed)
    count, std = len(x), torch.exp(0.5 * logvar)
    weights = []
    at_once = max(1, DECODED // count)
    for first in range(0, samples, at_once):
        # One by one, so that the latents do not depend on how many are decoded at once.
        drawn = range(first, min(first + at_once, samples))
        noise = torch.stack([torch.randn(mu.shape, generator=generator) for _ in drawn]).to(mu.device)
        z = mu + std * noise
        # The terms in log 2 pi of prior and posterior cancel.
        log_ratio = 0.5 * (noise.double().square() - z.double().square() + logvar.double()).sum(-1)
        parts = []
        for rows in torch.split(torch.arange(count, device=z.device), DECODED):
            recon = decode(z[:, rows].flatten(0, 1))
            recon = recon.view(len(z), len(rows), *recon.shape[1:])
            parts.append(log_density(recon, x[rows]))
        weights.append((torch.cat(parts, 1) + log_ratio).cpu())
    return torch.cat(weights).logsumexp(0) - math.log(samples)


def _log_levels(output_range: str) -> float:
    """Sum over the channels of log(grey levels per unit of the network's range): what turns -log of a density
    there into that of a density over grey levels."""
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    # `to_unit` clamps, so the slope is taken inside of every range.
    low, high = (to_unit(0.1 * end, output_range)[:, :, 0, 0] for end in torch.split(ends, 1))
    return float((255 * (high - low) / 0.1).log().sum())
