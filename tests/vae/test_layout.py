"""Depth is the number of convolution layers, whatever the pair of depths."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vae.config import ModelConfig
from vae.layout import extra_layers, grid_sizes, head_fan_in, num_downsamples, stage_channels
from vae.model import VAE

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
KINDS = pytest.mark.parametrize("extra_block", ["conv", "residual"])
MOST = pytest.mark.parametrize("max_downsamples", [1, 2, 3, 4])


def pairs(max_downsamples: int, extra_block: str) -> Iterator[tuple[ModelConfig, VAE]]:
    """The model of every pair of depths from 1 to 8, without memory for its weights."""
    for encoder_depth, decoder_depth in product(range(1, 9), repeat=2):
        config = ModelConfig.model_validate(
            {
                "image_size": 32,
                "encoder_depth": encoder_depth,
                "decoder_depth": decoder_depth,
                "max_downsamples": max_downsamples,
                "base_channels": 4,
                "max_channels": 16,
                "latent_dim": 5,
                "extra_block": extra_block,
            }
        )
        with torch.device("meta"):
            yield config, VAE(config)


def convolutions(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, CONVOLUTIONS)]


def strided(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in convolutions(module) if layer.stride == (2, 2)]


@KINDS
@MOST
def test_depth_is_the_number_of_convolution_layers_of_a_side(max_downsamples: int, extra_block: str) -> None:
    for config, model in pairs(max_downsamples, extra_block):
        assert len(convolutions(model.encoder)) == config.encoder_depth, config
        assert len(convolutions(model.decoder)) == config.decoder_depth, config


@KINDS
@MOST
def test_strided_layers_are_the_least_of_both_depths_and_the_limit(
    max_downsamples: int, extra_block: str
) -> None:
    for config, model in pairs(max_downsamples, extra_block):
        expected = min(config.encoder_depth, config.decoder_depth, max_downsamples)
        assert num_downsamples(config) == expected
        assert len(strided(model.encoder)) == expected, config
        assert len(strided(model.decoder)) == expected, config
        others = {layer.stride for layer in convolutions(model)} - {(2, 2)}
        assert others <= {(1, 1)}, config


@KINDS
@MOST
def test_the_decoder_mirrors_the_encoders_grid_and_returns_to_the_image(
    max_downsamples: int, extra_block: str
) -> None:
    for config, model in pairs(max_downsamples, extra_block):
        maps: list[tuple[int, ...]] = []
        for layer in strided(model):
            layer.register_forward_hook(lambda _m, inputs, output: maps.append((*inputs[0].shape, *output.shape)))
        with torch.device("meta"):
            output = model(torch.zeros(2, 3, 32, 32), torch.zeros(2, 5))
        assert output.recon.shape == (2, 3, 32, 32), config
        assert output.mu.shape == output.logvar.shape == (2, 5)
        down, up = maps[: len(maps) // 2], maps[len(maps) // 2 :]
        # What a strided layer takes in and puts out, in channels and size, its mirror image undoes.
        assert [shape[4:] + shape[:4] for shape in reversed(up)] == down, config
        assert [shape[2] for shape in down] + [down[-1][6]] == grid_sizes(config)
        assert [shape[5] for shape in down] == stage_channels(config)


@KINDS
@MOST
def test_extra_layers_stand_at_constant_resolution_most_at_the_deepest_stages(
    max_downsamples: int, extra_block: str
) -> None:
    for config, model in pairs(max_downsamples, extra_block):
        sizes = grid_sizes(config)[1:]
        for side, depth in ((model.encoder, config.encoder_depth), (model.decoder, config.decoder_depth)):
            at: list[int] = []
            for layer in convolutions(side):
                if layer.stride == (1, 1):
                    layer.register_forward_hook(
                        lambda _m, inputs, output, at=at: at.append(
                            output.shape[2] if inputs[0].shape == output.shape else -1
                        )
                    )
            with torch.device("meta"):
                model(torch.zeros(2, 3, 32, 32), torch.zeros(2, 5))
            assert [at.count(size) for size in sizes] == extra_layers(depth, len(sizes)), config
            assert len(at) == depth - len(sizes)


def test_extra_layers_are_dealt_out_from_the_deepest_up() -> None:
    for stages, depth in product(range(1, 6), range(1, 20)):
        if depth < stages:
            continue
        extra = extra_layers(depth, stages)
        assert sum(extra) == depth - stages
        # Never fewer on a deeper stage, and never two more than on a shallower one: that leaves one way.
        assert extra == sorted(extra)
        assert extra[-1] - extra[0] <= 1


@MOST
def test_head_fan_in_is_what_the_heads_take_in(max_downsamples: int) -> None:
    for config, model in pairs(max_downsamples, "conv"):
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
    assert len(grid_sizes(ModelConfig.model_validate(settings | {"max_downsamples": allowed}))) == allowed + 1


def test_an_odd_image_size_is_not_answered_with_a_setting_that_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"sizes 63, 31\.5") as refused:
        ModelConfig(image_size=63, encoder_depth=1, decoder_depth=1)
    assert "max_downsamples to 0" not in str(refused.value)


def test_residual_blocks_add_their_input_and_plain_ones_do_not() -> None:
    def difference(kind: str) -> Tensor:
        config = ModelConfig.model_validate(
            {"image_size": 8, "encoder_depth": 2, "decoder_depth": 1, "norm": "none", "extra_block": kind}
        )
        model = VAE(config)
        block = model.encoder.layers[-1]
        for parameter in block.parameters():
            nn.init.zeros_(parameter)
        x = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
        return block(x).detach() - x if kind == "residual" else block(x).detach()

    assert difference("residual").abs().max() == 0
    assert difference("conv").abs().max() == 0
