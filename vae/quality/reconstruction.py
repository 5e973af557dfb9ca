"""How close reconstructions are to their tiles; one value per image, so that the mean can have an interval.

torchmetrics is imported where it is used: it also loads torchvision and torch's compiler, 240 MB and seconds
that no run should wait for before its first step.
"""

import torch
from torch import Tensor

from vae.quality.metrics import in_parts

BATCH = 16
MIN_MSE = 1e-10


def psnr(recon: Tensor, real: Tensor) -> Tensor:
    """Two (N, 3, H, W) uint8 -> (N,): 10 log10(1 / mse) over an image in [0, 1], in dB; higher is better.

    An exact reconstruction has 100 dB rather than infinity, which would spoil the mean.

    What it does not detect: the kind of error. A blur that removes all detail of a smooth tile costs little,
    a shift of a sharp tile by one pixel much.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    unit, target = _units(recon, real)
    values = peak_signal_noise_ratio(unit, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return values.clamp_max(-10 * torch.tensor(MIN_MSE).log10().item())


def ssim(recon: Tensor, real: Tensor) -> Tensor:
    """Two (N, 3, H, W) uint8 -> (N,): structural similarity in [-1, 1]; higher is better.

    Wang et al. 2004: Gaussian window of 1.5 px over 11 px, per channel, averaged over pixels and channels, in
    [0, 1] space.

    What it does not detect: a constant shift of brightness or colour counts little, and so does any error in
    a busy part of a tile.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    pairs = zip(in_parts(recon, BATCH), in_parts(real, BATCH), strict=True)
    values = []
    for one, other in pairs:
        unit, target = _units(one, other)
        similarity = structural_similarity_index_measure(unit, target, data_range=1.0, reduction="none")
        assert isinstance(similarity, Tensor)
        values.append(similarity)
    return torch.cat(values)


def _units(recon: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    if recon.shape != real.shape or recon.dtype != torch.uint8 or real.dtype != torch.uint8:
        raise ValueError(
            f"reconstructions and tiles must be uint8 of one shape, not {recon.dtype} {tuple(recon.shape)} "
            f"and {real.dtype} {tuple(real.shape)}"
        )
    return recon.to(torch.float32) / 255, real.to(torch.float32) / 255
