"""What a trained model is worth: its samples, reconstructions and latent code on tiles it never met."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae.model.network import VAE
from vae.model.pixels import normalise, to_uint8
from vae.quality import METRICS, bootstrap_mean, latent_use, measure, memorisation, psnr, ssim
from vae.quality.metric import SMALLEST
from vae.training.evaluate import fixed_noise
from vae.training.pictures import decode_samples

MOST_TILES = 160
MOST_TRAIN_TILES = 2048
LEAST_TILES = 16
BATCH = 64


class ModelQuality(NamedTuple):
    """Names are MLflow's.

    figures: `quality/<metric>` and, for the metrics of samples, `quality/<metric>_floor` beside it;
        `latent/test_active_units` and `latent/test_kl`.
    intervals: `quality/<metric>_low`, `_high` (95 %), and `_floor_low`, `_floor_high`.
    kl_per_dim: (latent_dim,) in nats, averaged over the tiles.
    """

    figures: dict[str, float]
    intervals: dict[str, float]
    kl_per_dim: tuple[float, ...]


def measurable(test: Tensor) -> bool:
    """Whether (N, 3, H, H) tiles are enough, and large enough, for every metric."""
    return len(test) >= LEAST_TILES and test.shape[-1] >= SMALLEST


@torch.no_grad()
def model_quality(model: VAE, test: Tensor, train: Tensor, *, draws: int, seed: int = 0) -> ModelQuality:
    """test (N, 3, H, H) uint8 must have had no part in training or selection; train (T, 3, H, H) had.

    At most 160 test tiles are taken, and as many samples from the prior, decoded in float32 from the same
    latents for every model; memorisation looks for copies among at most 2048 training tiles. `draws` half-
    samples give the intervals of the samples' metrics (`measure`). Reconstructions are of the posterior mean.
    The number of tiles decides the floors, so compare runs on the same data only.

    Cost on one thread, laptop base, 64 px, 156 test and 464 training tiles: 1.4 processor seconds with 40
    draws, 0.9 with one; 0.35 of them are the random features of KID, density and coverage. Less from the
    second run of a process on: the features of the test tiles are remembered.

    Raises:
        ValueError: the test tiles are not `measurable`.
    """
    device = next(model.parameters()).device
    test, train = _some(test, MOST_TILES, seed), _some(train, MOST_TRAIN_TILES, seed)
    latents = fixed_noise(len(test), model.config.latent_dim, device)
    samples = torch.cat([decode_samples(model, batch) for batch in torch.split(latents, BATCH)])
    metrics = METRICS | {"memorisation": memorisation(train)}
    figures: dict[str, float] = {}
    intervals: dict[str, float] = {}
    for name, m in measure(test, samples, metrics=metrics, bootstrap=draws, seed=seed).items():
        figures |= {f"quality/{name}": m.value, f"quality/{name}_floor": m.floor}
        intervals |= {
            f"quality/{name}_{part}": getattr(m, part) for part in ("low", "high", "floor_low", "floor_high")
        }
    recon, mu, logvar = _reconstruct(model, test.to(device))
    for name, values in {"psnr": psnr(recon, test), "ssim": ssim(recon, test)}.items():
        mean = bootstrap_mean(values, seed=seed)
        figures[f"quality/{name}"] = mean.value
        intervals |= {f"quality/{name}_low": mean.low, f"quality/{name}_high": mean.high}
    use = latent_use(mu, logvar)
    figures |= {"latent/test_active_units": use.active_units, "latent/test_kl": float(use.kl_per_dim.sum())}
    return ModelQuality(figures, intervals, tuple(use.kl_per_dim.tolist()))


def _some(tiles: Tensor, most: int, seed: int) -> Tensor:
    """At most so many of them, at random, in memory even where the set is a mapped file."""
    rows = np.random.default_rng(seed).permutation(len(tiles))[:most]
    return tiles[torch.from_numpy(np.sort(rows)).to(tiles.device)].cpu()


def _reconstruct(model: VAE, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, H, W) uint8 -> reconstructions, uint8 on the CPU, and the posteriors' mu and logvar."""
    training = model.training
    model.eval()
    parts = []
    for batch in torch.split(tiles, BATCH):
        none = torch.zeros(len(batch), model.config.latent_dim, device=batch.device)
        output = model(normalise(batch, model.config.output_range, model.memory_format), none)
        parts.append((to_uint8(output.recon, model.config.output_range).cpu(), output.mu, output.logvar))
    model.train(training)
    recon, mu, logvar = (torch.cat(column) for column in zip(*parts, strict=True))
    return recon, mu, logvar
