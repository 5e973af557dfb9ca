"""Depth is the number of convolution layers, whatever the pair of depths."""

from functools import cache
from itertools import product
from typing import NamedTuple

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from vae.config import ModelConfig
from vae.model.layout import extra_layers, head_fan_in, stage_channels
from vae.model.network import VAE

Shape = tuple[int, ...]
KINDS = pytest.mark.parametrize("extra_block", ["conv", "residual"])
MOST = pytest.mark.parametrize("max_downsamples", [1, 2, 3, 4])


class Layer(NamedTuple):
    """A convolution that ran: its stride, and (channels, height, width) before and after it."""

    stride: tuple[int, int]
    before: Shape
    after: Shape


class Traced(NamedTuple):
    config: ModelConfig
    model: VAE
    encoder: list[Layer]
    decoder: list[Layer]
    recon: Shape


def run_layers(config: ModelConfig) -> Traced:
    model = VAE(config)
    sides: dict[nn.Module, list[Layer]] = {model.encoder: [], model.decoder: []}
    for side, layers in sides.items():
        for module in side.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(
                    lambda m, inputs, output, layers=layers: layers.append(
                        Layer(m.stride, tuple(inputs[0].shape[1:]), tuple(output.shape[1:]))
                    )
                )
    with torch.no_grad():
        recon = model(torch.zeros(2, 3, 32, 32), torch.zeros(2, config.latent_dim)).recon
    return Traced(config, model, sides[model.encoder], sides[model.decoder], tuple(recon.shape))


@cache
def pairs(max_downsamples: int, extra_block: str) -> list[Traced]:
    """The model of every pair of depths from 1 to 8."""
    settings = {"image_size": 32, "base_channels": 2, "max_channels": 8, "latent_dim": 3, "norm": "none"}
    settings |= {"max_downsamples": max_downsamples, "extra_block": extra_block}
    return [
        run_layers(ModelConfig.model_validate(settings | {"encoder_depth": e, "decoder_depth": d}))
        for e, d in product(range(1, 9), repeat=2)
    ]


def strided(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.stride == (2, 2)]


@KINDS
@MOST
def test_depth_is_the_number_of_convolution_layers_of_a_side(max_downsamples: int, extra_block: str) -> None:
    for traced in pairs(max_downsamples, extra_block):
        assert len(traced.encoder) == traced.config.encoder_depth, traced.config
        assert len(traced.decoder) == traced.config.decoder_depth, traced.config


@KINDS
@MOST
def test_strided_layers_are_the_least_of_both_depths_and_the_limit(
    max_downsamples: int, extra_block: str
) -> None:
    for config, _, encoder, decoder, _ in pairs(max_downsamples, extra_block):
        expected = min(config.encoder_depth, config.decoder_depth, max_downsamples)
        assert config.num_downsamples == expected
        assert len(strided(encoder)) == expected, config
        assert len(strided(decoder)) == expected, config


@KINDS
@MOST
def test_the_decoder_mirrors_the_encoders_grid_and_returns_to_the_image(
    max_downsamples: int, extra_block: str
) -> None:
    for config, _, encoder, decoder, recon in pairs(max_downsamples, extra_block):
        assert recon == (2, 3, 32, 32), config
        down = strided(encoder)
        # What a strided layer takes in and puts out, in channels and size, its mirror image undoes.
        mirrored = [(layer.after, layer.before) for layer in reversed(strided(decoder))]
        assert mirrored == [(layer.before, layer.after) for layer in down], config
        assert [down[0].before[1]] + [layer.after[1] for layer in down] == config.grid_sizes
        assert [layer.after[0] for layer in down] == stage_channels(config)


@KINDS
@MOST
def test_the_other_layers_keep_the_shape_and_are_at_the_stages_they_were_dealt_to(
    max_downsamples: int, extra_block: str
) -> None:
    for config, _, encoder, decoder, _ in pairs(max_downsamples, extra_block):
        stages = config.grid_sizes[1:]
        for layers, depth in ((encoder, config.encoder_depth), (decoder, config.decoder_depth)):
            others = [layer for layer in layers if layer.stride != (2, 2)]
            assert all(layer.stride == (1, 1) and layer.before == layer.after for layer in others), config
            sizes = [layer.after[1] for layer in others]
            assert [sizes.count(size) for size in stages] == extra_layers(depth, len(stages)), config
            assert len(sizes) == depth - len(stages)


def test_extra_layers_are_dealt_out_from_the_deepest_up() -> None:
    for stages, more in product(range(1, 6), range(15)):
        extra = extra_layers(stages + more, stages)
        assert sum(extra) == more
        assert len(extra) == stages
        # Never fewer on a deeper stage, and never two more than on a shallower one: that leaves one way.
        assert extra == sorted(extra)
        assert extra[-1] - extra[0] <= 1


@MOST
def test_head_fan_in_is_what_the_heads_take_in(max_downsamples: int) -> None:
    for config, model, *_ in pairs(max_downsamples, "conv"):
        expected = head_fan_in(config)
        assert model.encoder.fc_mu.in_features == expected, config
        assert model.encoder.fc_logvar.in_features == expected
        assert model.decoder.fc.out_features == expected


def test_channels_double_up_to_the_limit() -> None:
    config = ModelConfig(image_size=64, encoder_depth=5, decoder_depth=5, max_downsamples=5, max_channels=100)
    assert stage_channels(config) == [16, 32, 64, 100, 100]


@pytest.mark.parametrize(
    ("image_size", "downsamples", "sizes", "allowed"),
    [(224, 6, "224, 112, 56, 28, 14, 7, 3.5", 5), (36, 3, "36, 18, 9, 4.5", 2), (50, 4, "50, 25, 12.5", 1)],
)
def test_a_grid_that_is_not_whole_is_refused_with_its_sizes_and_what_would_fit(
    image_size: int, downsamples: int, sizes: str, allowed: int
) -> None:
    settings = {"image_size": image_size, "encoder_depth": 8, "decoder_depth": 8}
    with pytest.raises(ValidationError) as refused:
        ModelConfig.model_validate(settings | {"max_downsamples": downsamples})
    assert f"sizes {sizes}" in str(refused.value)
    assert f"set model.max_downsamples to {allowed} or less" in str(refused.value)
    assert len(ModelConfig.model_validate(settings | {"max_downsamples": allowed}).grid_sizes) == allowed + 1


def test_an_odd_image_size_is_not_refused_with_an_impossible_suggestion() -> None:
    with pytest.raises(ValidationError, match=r"sizes 63, 31\.5") as refused:
        ModelConfig(image_size=63, encoder_depth=1, decoder_depth=1)
    assert "max_downsamples to 0" not in str(refused.value)


@pytest.mark.parametrize(("extra_block", "kept"), [("conv", 0.0), ("residual", 1.0)])
def test_a_residual_block_adds_its_input_to_its_layer(extra_block: str, kept: float) -> None:
    config = ModelConfig.model_validate({"encoder_depth": 5, "norm": "none", "extra_block": extra_block})
    block = VAE(config).encoder.layers[-1]
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 128, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), kept * x)
