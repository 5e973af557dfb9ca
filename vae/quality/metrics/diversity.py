"""Are samples as different from one another as real tiles are?"""

import torch
from torch import Tensor

from vae.quality.metrics import Metric, in_parts
from vae.quality.remembering import remembered

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang et al. 2003, section 3.2; the finest level first."""
WINDOW = 11
BATCH = 16


def pair_similarity(images: Tensor, seed: int) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, 1): MS-SSIM of each tile and the next one on a random tour through the set.

    As many of the five levels as fit (3 at 64 px): the window must be smaller than the smallest level.
    The weights of those levels are scaled to sum to 1.
    """
    # Imported here for the reason given in `vae.quality.reconstruction`.
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    generator = torch.Generator().manual_seed(seed)
    tour = torch.randperm(len(images), generator=generator).to(images.device)
    other = torch.empty_like(tour)
    other[tour] = tour.roll(-1)
    betas = fitting_betas(images.shape[-1])
    unit = images.to(torch.float32) / 255
    similarity = [
        ms_ssim(unit[rows], unit[other[rows]], data_range=1.0, betas=betas, reduction="none")
        for rows in in_parts(torch.arange(len(images), device=images.device), BATCH)
    ]
    return torch.cat(similarity).view(-1, 1)


def fitting_betas(size: int) -> tuple[float, ...]:
    """The weights of the levels that fit a tile of `size` px, summing to 1."""
    # torchmetrics requires size // (levels - 1)^2 >= WINDOW, which is stricter at some sizes.
    levels = max(n for n in range(1, 6) if size >> (n - 1) >= WINDOW and size // max(1, n - 1) ** 2 >= WINDOW)
    return tuple(beta / sum(BETAS[:levels]) for beta in BETAS[:levels])


_of_real = remembered(pair_similarity)


def similarities(real: Tensor, fake: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    return _of_real(real, seed), pair_similarity(fake, seed)


def difference(real: Tensor, fake: Tensor, seed: int) -> Tensor:
    return fake.mean() - real.mean()


METRIC = Metric(similarities, difference, better="zero")
"""Mean MS-SSIM of random pairs of samples minus that of random pairs of real tiles (Odena et al. 2017): above
0 the samples are less diverse than real tiles, below 0 more diverse, as noise makes them.

What it does not detect: whether samples look real; one missing mode among many; copies of training tiles.
Blurred samples are more alike, so it mixes blur with a lack of diversity. Each tile is in two pairs, which
the interval ignores: it may be up to 1.4 times too narrow.
"""
