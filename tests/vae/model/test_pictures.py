"""Pictures are bytes of the right shape whatever state the model is in."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vae.config import TrainConfig
from vae.model.network import VAE, build_model
from vae.model.pictures import decode_samples, take_pictures
from vae.model.pixels import normalise, to_uint8


@pytest.fixture
def model(small: Callable[..., TrainConfig]) -> VAE:
    return build_model(small().model, 0)


@pytest.mark.parametrize("weight", [None, float("nan"), float("inf"), 1e30])
def test_pictures_are_bytes_of_the_tiles_shape_also_for_a_broken_model(
    model: VAE, make_tiles: Callable[..., Tensor], weight: float | None
) -> None:
    if weight is not None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(weight)
    pictures = take_pictures(model, make_tiles(5), torch.randn(5, 6))
    for images in pictures:
        assert images.dtype == torch.uint8
        assert images.shape == (5, 3, 32, 32)
    assert torch.equal(pictures.originals, make_tiles(5))
    if weight is not None and math.isnan(weight):
        assert pictures.reconstructions.max() == pictures.samples.max() == 0


def test_reconstructions_are_of_the_mean_and_samples_of_the_noise_alone(
    model: VAE, make_tiles: Callable[..., Tensor]
) -> None:
    tiles, noise = make_tiles(5), torch.randn(5, 6)
    pictures = take_pictures(model, tiles, noise)
    model.eval()
    with torch.no_grad():
        mu, _ = model.encoder(normalise(tiles, "tanh_unit"))
        assert torch.equal(pictures.reconstructions, to_uint8(model.decoder(mu), "tanh_unit"))
        assert torch.equal(pictures.samples, to_uint8(model.decoder(noise), "tanh_unit"))
    other = take_pictures(model, make_tiles(5, seed=9), noise)
    assert torch.equal(other.samples, pictures.samples)
    assert not torch.equal(other.reconstructions, pictures.reconstructions)


@pytest.mark.parametrize("training", [True, False])
def test_taking_pictures_leaves_the_model_as_it_was(
    model: VAE, make_tiles: Callable[..., Tensor], training: bool
) -> None:
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take_pictures(model, make_tiles(5), torch.randn(5, 6))
    decode_samples(model, torch.randn(5, 6))
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
