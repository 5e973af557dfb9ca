"""The quality of a trained model: its samples, reconstructions and latent code on tiles it has never seen."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae.model.latent import fixed_noise
from vae.model.pictures import decode_samples
from vae.model.pixels import normalise, to_uint8
from vae.model.protocol import Autoencoder
from vae.quality import METRICS, bootstrap_mean, latent_use, measure, memorisation, psnr, ssim
from vae.quality.intervals import on_host
from vae.quality.metrics import MIN_SIZE, Metric

MAX_TILES = 160
MAX_TRAIN_TILES = 2048
MIN_TILES = 16
BATCH = 64


class ModelQuality(NamedTuple):
    """Keyed by the names under which they are recorded.

    figures: `quality/<metric>` and, for the metrics of samples, `quality/<metric>_floor`;
        `latent/test_active_units` and `latent/test_kl`.
    intervals: `quality/<metric>_low`, `_high` (95 %), and `_floor_low`, `_floor_high`.
    kl_per_dim: (latent_dim,) in nats, averaged over the tiles.
    """

    figures: dict[str, float]
    intervals: dict[str, float]
    kl_per_dim: tuple[float, ...]


def measurable(test: Tensor) -> bool:
    """Whether (N, 3, H, H) tiles are enough and large enough to measure quality."""
    return len(test) >= MIN_TILES and test.shape[-1] >= MIN_SIZE


@torch.no_grad()
def model_quality(
    model: Autoencoder,
    test: Tensor,
    train: Tensor,
    *,
    draws: int,
    seed: int = 0,
    groups: Tensor | None = None,
    custom: Mapping[str, Metric] | None = None,
) -> ModelQuality:
    """test (N, 3, H, H) uint8 must not have been used for training or selection; train (T, 3, H, H) was.

    At most 160 test tiles are used, and as many samples from the prior, decoded in float32 from the same
    latents for every model; memorisation looks for copies among at most 2048 training tiles. The intervals
    of the samples' metrics come from `draws` half-samples (`measure`), in which test tiles of one of `groups`
    (N,), such as neighbours, stay together. custom: further metrics. Reconstructions are of the posterior
    mean. The floors depend on the number of tiles, so compare runs on the same data only.

    All of it is computed on the model's device; on a GPU only the figures come to the host. Cost on one core
    with AVX-512, laptop base, 64 px, 156 test and 464 training tiles, 40 draws: 1.5 processor seconds, of
    which the three metrics on ImageNet features are 0.55 (0.67 with AVX2). The first run of a process takes
    twice as long for them, because what is computed of the test tiles alone is remembered.

    Raises:
        ValueError: the test tiles are not `measurable`.
    """
    device = next(model.parameters()).device
    groups = None if groups is None else _some(groups, MAX_TILES, seed)
    test, train = (_some(x, n, seed).to(device) for x, n in ((test, MAX_TILES), (train, MAX_TRAIN_TILES)))
    latents = fixed_noise(len(test), model.latent_dim, device)
    samples = torch.cat([decode_samples(model, batch) for batch in torch.split(latents, BATCH)])
    metrics = METRICS | {"memorisation": memorisation(train)} | dict(custom or {})
    figures: dict[str, float] = {}
    intervals: dict[str, float] = {}
    for name, m in measure(test, samples, metrics=metrics, bootstrap=draws, seed=seed, groups=groups).items():
        figures |= {f"quality/{name}": m.value, f"quality/{name}_floor": m.floor}
        intervals |= {
            f"quality/{name}_{part}": getattr(m, part) for part in ("low", "high", "floor_low", "floor_high")
        }
    recon, mu, logvar = _reconstruct(model, test)
    for name, values in on_host({"psnr": psnr(recon, test), "ssim": ssim(recon, test)}).items():
        mean = bootstrap_mean(values, seed=seed, groups=groups)
        figures[f"quality/{name}"] = mean.value
        intervals |= {f"quality/{name}_low": mean.low, f"quality/{name}_high": mean.high}
    use = latent_use(*torch.stack([mu, logvar]).cpu())
    figures |= {"latent/test_active_units": use.active_units, "latent/test_kl": float(use.kl_per_dim.sum())}
    return ModelQuality(figures, intervals, tuple(use.kl_per_dim.tolist()))


def _some(tiles: Tensor, most: int, seed: int) -> Tensor:
    """At most `most` of the tiles, at random; in memory even if the set is a mapped file."""
    rows = np.random.default_rng(seed).permutation(len(tiles))[:most]
    return tiles[torch.from_numpy(np.sort(rows)).to(tiles.device)]


def _reconstruct(model: Autoencoder, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, H, W) uint8 -> reconstructions, uint8, and the posteriors' mu and logvar."""
    training = model.training
    model.eval()
    parts = []
    for batch in torch.split(tiles, BATCH):
        no_noise = torch.zeros(len(batch), model.latent_dim, device=batch.device)
        output = model(normalise(batch, model.config.output_range, model.memory_format), no_noise)
        parts.append((to_uint8(output.recon, model.config.output_range), output.mu, output.logvar))
    model.train(training)
    recon, mu, logvar = (torch.cat(column) for column in zip(*parts, strict=True))
    return recon, mu, logvar
