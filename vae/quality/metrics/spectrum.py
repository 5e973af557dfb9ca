"""Distance between log radial power spectra: sharpness and noise by frequency."""

from functools import cache

import torch
from torch import Tensor

from vae.quality.metrics import Metric, of_each

ROUNDING = 1 / 12
"""Variance of the rounding to whole grey levels, added to the power of every frequency."""


def log_radial_power(images: Tensor) -> Tensor:
    """(N, 3, H, H) uint8 -> (N, H / 2): log10 of the power at 1, 2, ..., H / 2 cycles per tile.

    Mean over the channels and over the ring of a frequency; in grey levels squared, so that white noise
    of standard deviation s has log10(s^2) everywhere. The mean is subtracted and a Hann window applied,
    without which the jump between opposite edges leaks into the high frequencies and hides blur.
    """
    size = images.shape[-1]
    x = images.to(torch.float32)
    window, rings_of = _window_and_rings(size, x.device)
    x = (x - x.mean((2, 3), keepdim=True)) * window
    power = torch.fft.fft2(x).abs().square().mean(1) / window.square().sum()
    rings: Tensor = power.flatten(1) @ rings_of
    return (rings + ROUNDING).log10()


@cache
def _window_and_rings(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(H, H), and (H * H, H / 2): the share of every frequency in the mean of its ring."""
    hann = torch.hann_window(size, periodic=False)
    frequency = torch.fft.fftfreq(size, 1 / size)
    ring = torch.hypot(frequency, frequency.view(-1, 1)).round().long()
    last = size // 2
    members = torch.nn.functional.one_hot(ring.flatten().clamp(max=last + 1), last + 2)[:, 1:-1].float()
    return hann.outer(hann).to(device), (members / members.sum(0)).to(device)


def distance(real: Tensor, fake: Tensor, seed: int) -> Tensor:
    """Root mean square over the frequencies of the difference of the sets' mean log spectra."""
    return (real.mean(0) - fake.mean(0)).square().mean().sqrt()


METRIC = Metric(of_each(log_radial_power), distance)
"""In decades of power; 0 is best. The radial profile as in Durall et al. 2020.

What it does not detect: phases, and so where anything is (noise with the right spectrum scores at the floor);
a shift of colour, since the mean is subtracted; differences that average out over tiles or channels.
"""
