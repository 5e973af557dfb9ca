"""With `head_scale=mup` a step moves mu and logvar by the same, however many inputs the heads have."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

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
    plain, _ = made("adam", "none", max_downsamples=2)
    scaled, optimizer = made("adam", "mup", max_downsamples=2)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), scaled.parameters(), strict=True))
    factor = HEAD_FAN_IN / head_fan_in(scaled.config)
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


def test_an_optimizer_with_one_rate_for_all_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match=r"prodigy has one for all: set optim\.head_scale=none"):
        OptimConfig(optimizer="prodigy", head_scale="mup")
