"""The gradient's signal-to-noise ratio is right where signal and noise are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from vae.stability.gradient_noise import PARTS, gradient_snr, parts

SIZE = 100_000


def linear(parameters: list[Parameter], slopes: Tensor) -> list[Callable[[], Tensor]]:
    """Losses whose gradients are the rows of slopes."""

    def of(row: Tensor) -> Callable[[], Tensor]:
        return lambda: torch.cat(list(parameters)) @ row

    return [of(row) for row in slopes]


def weights() -> list[Parameter]:
    return [Parameter(torch.zeros(n, dtype=torch.float64)) for n in (SIZE // 4, 3 * SIZE // 4)]


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 9.0])
def test_it_is_the_ratio_that_the_gradients_were_drawn_with(count: int, ratio: float) -> None:
    """Gradients of parts: one signal, and noise of the variance that gives the batch this ratio."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
    drawn = signal + noise * math.sqrt(count / ratio)
    parameters = weights()
    assert gradient_snr(linear(parameters, drawn), parameters) == pytest.approx(ratio, rel=0.05, abs=0.02)


def test_it_does_not_change_with_the_scale_of_the_loss() -> None:
    drawn = torch.randn(4, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    parameters = weights()
    one, other = (gradient_snr(linear(parameters, scale * drawn), parameters) for scale in (1, 1e6))
    assert other == pytest.approx(one)


def test_pure_noise_has_no_signal_in_the_mean_over_draws() -> None:
    generator, parameters = torch.Generator().manual_seed(2), weights()
    found = [
        gradient_snr(
            linear(parameters, torch.randn(4, SIZE, generator=generator, dtype=torch.float64)), parameters
        )
        for _ in range(40)
    ]
    assert abs(sum(found) / len(found)) < 0.01
    assert min(found) < 0 < max(found)


def test_without_noise_it_is_infinite_and_of_one_part_unknown() -> None:
    parameters, ones = weights(), torch.ones(4, SIZE, dtype=torch.float64)
    assert gradient_snr(linear(parameters, ones), parameters) == math.inf
    assert math.isnan(gradient_snr(linear(parameters, ones[:1]), parameters))


@pytest.mark.parametrize(("batch", "each"), [(2, 0), (7, 0), (8, 2), (11, 2), (32, 8)])
def test_parts_are_disjoint_of_one_size_and_each_enough_for_batch_norm(batch: int, each: int) -> None:
    images, noise = torch.arange(batch), torch.arange(batch) + 100
    found = parts(images, noise)
    assert [len(a) for a, _ in found] == [each] * (PARTS if each else 0)
    assert all(torch.equal(a + 100, b) for a, b in found)
    assert len({int(i) for a, _ in found for i in a}) == each * len(found)
