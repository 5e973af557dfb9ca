"""From bytes to the network's range and back, and what the paper's decoder cannot reach."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vae.model.pixels import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    normalise,
    to_uint8,
    to_unit,
    unreachable_pixel_fraction,
)

RANGES = pytest.mark.parametrize("output_range", ["tanh_unit", "imagenet_linear", "paper"])
# The lowest and highest value of a channel, in [0, 1], between mean - std and mean + std.
LIMITS = ((0.256, 0.714), (0.232, 0.680), (0.181, 0.631))


def all_levels() -> Tensor:
    """Each of the 256 levels in each channel: (1, 3, 16, 16)."""
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16).contiguous()


def noise(count: int = 4) -> Tensor:
    return torch.randint(256, (count, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@RANGES
def test_every_grey_level_survives_a_round_trip(output_range: str) -> None:
    x = normalise(all_levels(), output_range)
    assert x.dtype == torch.float32
    assert torch.equal(to_uint8(x, output_range), all_levels())
    torch.testing.assert_close(to_unit(x, output_range), all_levels() / 255)


@RANGES
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_layout_changes_no_value_and_the_tiles_stay_as_they_were(
    output_range: str, memory_format: torch.memory_format
) -> None:
    tiles = noise()
    x = normalise(tiles, output_range, memory_format)
    assert x.is_contiguous(memory_format=memory_format)
    assert torch.equal(x, normalise(tiles, output_range))
    assert torch.equal(tiles, noise())


@RANGES
def test_values_outside_the_pixels_range_are_clamped(output_range: str) -> None:
    x = torch.tensor([-100.0, 100.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert to_unit(x, output_range)[0, :, 0].tolist() == [[0, 1]] * 3
    assert to_uint8(x, output_range)[0, :, 0].tolist() == [[0, 255]] * 3


@RANGES
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_become_black(output_range: str, value: float) -> None:
    assert (
        to_uint8(torch.full((1, 3, 2, 2), value), output_range).tolist() == torch.zeros(1, 3, 2, 2).tolist()
    )


def test_tanh_unit_spans_minus_one_to_one_and_the_others_are_standardised() -> None:
    levels = all_levels()
    unit = normalise(levels, "tanh_unit")
    assert (unit.min().item(), unit.max().item()) == (-1, 1)
    for output_range in ("imagenet_linear", "paper"):
        x = normalise(levels, output_range)
        expected = (levels.numpy() / 255 - np.reshape(IMAGENET_MEAN, (3, 1, 1))) / np.reshape(
            IMAGENET_STD, (3, 1, 1)
        )
        assert np.allclose(x.numpy(), expected, atol=1e-6)


def test_the_unreachable_share_of_the_papers_range_is_that_of_a_direct_count() -> None:
    tiles = noise()
    tiles[0, 0], tiles[1, 2] = 0, 255
    outside = total = 0
    for image in tiles.numpy() / 255:
        for channel, mean, std in zip(image, IMAGENET_MEAN, IMAGENET_STD, strict=True):
            outside += int((np.abs(channel - mean) > std).sum())
            total += channel.size
    assert 0.1 < outside / total < 1
    assert unreachable_pixel_fraction(tiles, "paper") == pytest.approx(outside / total, rel=1e-6)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_unreachable_levels_of_a_channel_are_those_outside_its_limits(channel: int) -> None:
    low, high = LIMITS[channel]
    middle = torch.full((1, 3, 4, 4), 110, dtype=torch.uint8)
    assert unreachable_pixel_fraction(middle, "paper") == 0
    for level in range(256):
        tiles = middle.clone()
        tiles[:, channel] = level
        expected = 0 if low <= level / 255 <= high else 1 / 3
        assert unreachable_pixel_fraction(tiles, "paper") == pytest.approx(expected), level


@pytest.mark.parametrize("output_range", ["tanh_unit", "imagenet_linear"])
def test_the_other_ranges_reach_every_pixel(output_range: str) -> None:
    assert unreachable_pixel_fraction(all_levels(), output_range) == 0
