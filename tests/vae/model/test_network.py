"""The network as a function of its input, its noise and its seed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from vae.config import ModelConfig, TrainConfig
from vae.model.network import VAE, ToRGB, build_model
from vae.model.pixels import normalise


@pytest.fixture
def config(small: Callable[..., TrainConfig]) -> ModelConfig:
    return small().model


def test_the_latent_is_the_mean_plus_the_deviation_times_the_noise(
    config: ModelConfig, make_tiles: Callable[..., Tensor]
) -> None:
    model = build_model(config, 0).eval()
    x, noise = normalise(make_tiles(4), config.output_range), torch.randn(4, config.latent_dim)
    latents: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _m, inputs: latents.append(inputs[0]))
    output = model(x, noise)
    torch.testing.assert_close(latents[0], output.mu + output.logvar.exp().sqrt() * noise)


def test_in_evaluation_mode_the_code_of_an_image_does_not_depend_on_its_batch(
    config: ModelConfig, make_tiles: Callable[..., Tensor]
) -> None:
    model = build_model(config, 0).eval()
    x, noise = normalise(make_tiles(6), config.output_range), torch.zeros(6, config.latent_dim)
    alone = model(x[2:3], noise[2:3])
    torch.testing.assert_close(model(x, noise).recon[2:3], alone.recon, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("output_range", "bounded"), [("tanh_unit", True), ("paper", True), ("imagenet_linear", False)]
)
def test_only_a_linear_output_leaves_the_range_of_tanh(
    config: ModelConfig, output_range: str, bounded: bool
) -> None:
    model = VAE(config.model_copy(update={"output_range": output_range})).eval()
    with torch.no_grad():
        recon = model.decoder(1000 * torch.randn(8, config.latent_dim))
    assert (recon.abs().max() <= 1) == bounded


def test_the_seed_determines_the_weights_and_the_global_generator_is_untouched(config: ModelConfig) -> None:
    before = torch.get_rng_state()
    one = build_model(config, 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    same, other = build_model(config, 3).state_dict(), build_model(config, 4).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.fc_mu.weight"], other["encoder.fc_mu.weight"])


@pytest.mark.parametrize(("norm", "statistics"), [("batch", True), ("group", False), ("none", False)])
def test_running_statistics_are_kept_by_batch_norm_only(
    config: ModelConfig, norm: str, statistics: bool
) -> None:
    model = VAE(config.model_copy(update={"norm": norm}))
    assert any("running_mean" in name for name, _ in model.named_buffers()) == statistics


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_model_knows_its_memory_format(config: ModelConfig, memory_format: torch.memory_format) -> None:
    model = build_model(config, 0).to(memory_format=memory_format)
    assert model.memory_format == memory_format
    kernels = [p for p in model.parameters() if p.dim() == 4]
    assert all(kernel.is_contiguous(memory_format=memory_format) for kernel in kernels)


def test_the_parameter_count_is_the_sum_over_all_tensors(config: ModelConfig) -> None:
    model = build_model(config, 0)
    names = {name for name, _ in model.named_buffers()}
    held = {name: value for name, value in model.state_dict().items() if name not in names}
    assert model.parameter_count() == sum(len(value.flatten()) for value in held.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_layer_to_rgb_is_the_transposed_convolution_that_it_replaces(
    dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = ToRGB(8).to(dtype).to(memory_format=memory_format)
    x = torch.randn(2, 8, 5, 7, dtype=dtype).contiguous(memory_format=memory_format).requires_grad_()
    ours, theirs = layer(x), torch.nn.ConvTranspose2d.forward(layer, x)
    weighted = torch.randn_like(ours)
    parameters = [x, *layer.parameters()]
    rounding = 1e-5 if dtype is torch.float32 else 0.03
    for a, b in zip(
        (ours, *torch.autograd.grad((ours * weighted).sum(), parameters)),
        (theirs, *torch.autograd.grad((theirs * weighted).sum(), parameters)),
        strict=True,
    ):
        assert (a - b).abs().max() <= rounding * b.abs().max()


def test_heads_stay_in_float32_under_autocast(config: ModelConfig) -> None:
    model = build_model(config, 0)
    hidden = torch.randn(4, model.encoder.fc_mu.in_features)
    with torch.autocast("cpu", torch.bfloat16):
        mu = model.encoder.fc_mu(hidden)
    assert torch.equal(mu, model.encoder.fc_mu(hidden))


def test_networks_that_threads_build_at_once_are_those_built_alone(config: ModelConfig) -> None:
    """They share the global generator, which is as it was in the end."""
    before, seeds = torch.random.get_rng_state(), [seed % 4 for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda seed: build_model(config, seed), seeds))
    alone = [build_model(config, seed) for seed in range(4)]
    for seed, model in zip(seeds, built, strict=True):
        for mine, theirs in zip(model.parameters(), alone[seed].parameters(), strict=True):
            assert torch.equal(mine, theirs)
    assert torch.equal(torch.random.get_rng_state(), before)
