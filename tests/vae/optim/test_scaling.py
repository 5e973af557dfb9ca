"""A step moves mu and logvar (`head_scale=mup`), or every layer's output (`parametrisation=mup`), by the same
in networks of any width."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from vae.config import ModelConfig, OptimConfig
from vae.model.layout import head_fan_in
from vae.model.network import VAE, build_model
from vae.optim import optimizers
from vae.optim.scaling import HEAD_FAN_IN, parameter_groups
from vae.stability.curvature import update_direction

HALVINGS, WIDTHS = (4, 3, 2), (4, 16, 64)
LR = 1e-3


def made(optimizer: str, scale: str, **model: int) -> tuple[VAE, torch.optim.Optimizer]:
    config = ModelConfig.model_validate({"image_size": 32, "latent_dim": 8} | model)
    optim = OptimConfig.model_validate({"optimizer": optimizer, "lr": LR, "head_scale": scale})
    network = build_model(config, seed=0)
    built = optimizers.build(optim, parameter_groups(optim, network, ()))
    optimizers.set_mode(built, training=True)
    return network, built


def moved_by_the_heads(network: VAE, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> float:
    """How far one step of the heads alone moves mu and logvar (root mean square), for a gradient of their
    outputs that is the same in every network."""
    mu, logvar = network.encoder(images)
    (mu.mean() + logvar.mean()).backward()
    heads = {id(p) for head in (network.encoder.fc_mu, network.encoder.fc_logvar) for p in [head.weight]}
    for p in network.parameters():
        if id(p) not in heads:
            p.grad = None
    optimizer.step()
    after = torch.stack(network.encoder(images)).detach()
    return float((after - torch.stack((mu, logvar)).detach()).square().mean().sqrt())


def slope(optimizer: str, scale: str) -> float:
    """Of the step of the outputs on the fan-in, in logarithms."""
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for halvings in HALVINGS:
        for width in WIDTHS:
            network, made_optimizer = made(optimizer, scale, max_downsamples=halvings, base_channels=width)
            moved = moved_by_the_heads(network, made_optimizer, images)
            found.append((math.log10(head_fan_in(network.config)), math.log10(moved)))
    x, y = np.array(found).T
    return float(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "schedulefree"])
def test_the_step_of_the_latent_grows_with_the_fan_in_unless_it_is_scaled(optimizer: str) -> None:
    assert slope(optimizer, "none") == pytest.approx(1, abs=0.15)
    assert slope(optimizer, "mup") == pytest.approx(0, abs=0.15)


def test_the_function_and_its_other_rates_are_as_they_were() -> None:
    plain, _ = made("adam", "none", max_downsamples=3)
    scaled, optimizer = made("adam", "mup", max_downsamples=3)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), scaled.parameters(), strict=True))
    factor = HEAD_FAN_IN / head_fan_in(scaled.config)
    assert factor != 1
    optimizers.set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5 * factor]
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {
        id(p) for p in scaled.parameters()
    }


def test_at_the_reference_nothing_changes() -> None:
    config = {"image_size": 64, "max_downsamples": 4, "base_channels": 16}
    network, optimizer = made("adam", "mup", **config)
    assert head_fan_in(network.config) == HEAD_FAN_IN
    assert {group["lr"] for group in optimizer.param_groups} == {LR}


def test_the_update_direction_and_the_preconditioner_know_of_it() -> None:
    network, optimizer = made("adam", "mup", max_downsamples=2)
    parameters = list(network.encoder.parameters())
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mu, logvar = network.encoder(images)
    (mu.square().sum() + logvar.square().sum()).backward()
    direction = update_direction(optimizer, parameters, LR)
    before = [p.detach().clone() for p in parameters]
    optimizer.step()
    for p, old, moved in zip(parameters, before, direction, strict=True):
        torch.testing.assert_close(p.detach(), old + LR * moved, rtol=0, atol=1e-7)
    found = optimizers.preconditioner(OptimConfig(lr=LR), optimizer, parameters, LR)
    plain = optimizers.OPTIMIZERS.load("adam").preconditioner(optimizer, parameters, OptimConfig(lr=LR), LR)
    assert found is not None
    factors = {
        id(p): float((a / b).mean())
        for p, a, b in zip(parameters, found.diagonal, plain.diagonal, strict=True)
    }
    factor = HEAD_FAN_IN / head_fan_in(network.config)
    assert factors[id(network.encoder.fc_mu.weight)] == pytest.approx(1 / factor)
    assert factors[id(network.encoder.fc_mu.bias)] == pytest.approx(1)


def steps_of_layers(parametrisation: str, width: int) -> dict[str, float]:
    """By how much the step of its own weights moves the outputs of each layer (root mean square), for a
    gradient of mu, logvar and pixels that is the same in every network."""
    config = ModelConfig(image_size=32, latent_dim=64, base_channels=width, max_channels=8 * width)
    optim = OptimConfig.model_validate({"lr": LR, "parametrisation": parametrisation})
    network = build_model(config, seed=0)
    optimizer = optimizers.build(optim, parameter_groups(optim, network, ()))
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.rand(16, *shape, generator=generator) for shape in ((3, 32, 32), (64,)))
    out = network(images, noise)
    (out.recon.mean() + out.mu.mean() + out.logvar.mean()).backward()
    inputs: dict[str, torch.Tensor] = {}
    layers = {
        n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    }
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, args, name=name: inputs.__setitem__(name, args[0].detach()))
    network(images, noise)
    with torch.no_grad():
        before = {name: layer.forward(inputs[name]) for name, layer in layers.items()}
        optimizer.step()
        return {
            name: float((layer.forward(inputs[name]) - before[name]).square().mean().sqrt())
            for name, layer in layers.items()
        }


def test_a_step_moves_the_outputs_of_every_layer_by_the_same_in_networks_of_any_width() -> None:
    """The coordinate check of the maximal update parametrisation, layer by layer."""
    widths = (8, 16, 32, 64)
    slopes = {}
    for parametrisation in ("standard", "mup"):
        moved = [steps_of_layers(parametrisation, width) for width in widths]
        for name in moved[0]:
            y = [math.log(of_width[name]) for of_width in moved]
            slopes[parametrisation, name] = float(np.polyfit(np.log(widths), y, 1)[0])
    names = {name for _, name in slopes}
    assert len(names) == 11  # four convolutions a side, two heads, the decoder's first layer
    fixed = {"encoder.layers.0.0", "decoder.fc"}  # whose inputs are no wider: colours and the latent
    for name in names:
        assert abs(slopes["mup", name]) < 0.25, name
        assert slopes["standard", name] > 0.6 or name in fixed, name


@pytest.mark.parametrize("block", ["conv", "residual"])
def test_rates_of_all_but_the_heads_fall_with_the_number_of_layers(block: str) -> None:
    def scales(depth: int) -> dict[str, float]:
        config = ModelConfig.model_validate(
            {"image_size": 32, "encoder_depth": depth, "decoder_depth": depth, "extra_block": block}
        )
        optim = OptimConfig(parametrisation="mup")
        network = build_model(config, seed=0)
        groups = cast(list[dict[str, Any]], parameter_groups(optim, network, ()))
        by_id = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
        return {name: by_id[id(p)] for name, p in network.named_parameters()}

    shallow, deep = scales(4), scales(8)
    for name in (
        "encoder.layers.0.0.weight",
        "encoder.layers.0.1.bias",
        "decoder.fc.weight",
        "decoder.fc.bias",
    ):
        assert shallow[name] == 1
        assert deep[name] == pytest.approx((10 / 18) ** 2)
    for name in (f"encoder.fc_{head}.{kind}" for head in ("mu", "logvar") for kind in ("weight", "bias")):
        assert deep[name] == shallow[name]


def test_parametrisation_is_refused_where_a_step_grows_with_the_gradients() -> None:
    with pytest.raises(ValidationError, match=r"wants steps that do not grow .* optim\.optimizer=sgd do"):
        OptimConfig(optimizer="sgd", parametrisation="mup")
    with pytest.raises(
        ValidationError, match=r"prodigy has one for all: set optim\.parametrisation=standard"
    ):
        OptimConfig(optimizer="prodigy", parametrisation="mup")


def test_an_optimizer_with_one_rate_for_all_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match=r"prodigy has one for all: set optim\.head_scale=none"):
        OptimConfig(optimizer="prodigy", head_scale="mup")
