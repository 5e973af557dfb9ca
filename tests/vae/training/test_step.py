"""One step: what it measures agrees with independent computations."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import OptimConfig, TrainConfig
from vae.loss.loss import Loss
from vae.model.network import VAE, build_model
from vae.optim import clipping, optimizers
from vae.optim.skipping import SkipPolicy
from vae.training.hardware import resolve
from vae.training.state import UPDATE_RATIO_EVERY, TrainState
from vae.training.step import train_step

NORMS = pytest.mark.parametrize("norm", ["batch", "group", "none"])


def made(config: TrainConfig) -> tuple[VAE, torch.optim.Optimizer]:
    model = build_model(config.model, 0)
    return model, optimizers.build(config.optim, model.parameters())


def step(
    model: VAE, optimizer: torch.optim.Optimizer, batch: Tensor, noise: Tensor, **settings: Any
) -> dict[str, Tensor]:
    optim = OptimConfig(clip="norm", clip_norm=settings.pop("clip_norm", 1e9))
    policy = clipping.build(optim, optim.clip_norm)
    skipping = SkipPolicy(OptimConfig())
    settings = {"kl_weight": 0.3} | settings
    return train_step(model, Loss(), optimizer, policy, skipping, batch, noise, **settings)


def direct_loss(model: VAE, batch: Tensor, noise: Tensor, kl_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, reconstruction and KL, written out."""
    x = batch.float() / 127.5 - 1
    mu, logvar = model.encoder(x)
    recon = model.decoder(mu + logvar.exp().sqrt() * noise)
    recon_loss = ((recon - x) ** 2).flatten(1).sum(1).mean()
    kl = ((mu**2 + logvar.exp() - 1 - logvar) / 2).sum(1).mean()
    return recon_loss + kl_weight * kl, recon_loss, kl


def flat(model: VAE) -> Tensor:
    return torch.cat([p.detach().flatten().double() for p in model.parameters()])


@NORMS
@pytest.mark.parametrize("clip_norm", [1e-2, 1e9])
def test_losses_and_the_gradient_norm_before_clipping_are_those_of_a_direct_computation(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor], norm: str, clip_norm: float
) -> None:
    model, optimizer = made(small(model={"norm": norm}))
    batch, noise = make_tiles(8), torch.randn(8, 6)
    loss, recon_loss, kl = direct_loss(copy.deepcopy(model), batch, noise, 0.3)
    twin = copy.deepcopy(model)
    gradients = torch.autograd.grad(direct_loss(twin, batch, noise, 0.3)[0], list(twin.parameters()))
    expected = sum(float((g.double() ** 2).sum()) for g in gradients) ** 0.5
    values = step(model, optimizer, batch, noise, clip_norm=clip_norm)
    assert values["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert values["recon_loss"].item() == pytest.approx(recon_loss.item(), rel=1e-5)
    assert values["kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    assert values["grad_norm"].item() == pytest.approx(expected, rel=1e-4)
    assert values["clipped"].item() == float(expected > clip_norm)
    held = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert torch.cat(held).norm().item() == pytest.approx(min(expected, clip_norm), rel=1e-3)


def test_max_logvar_is_the_largest_of_the_batch(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    model, optimizer = made(small())
    batch = make_tiles(8)
    with torch.no_grad():
        expected = copy.deepcopy(model).encoder(batch / 127.5 - 1)[1].max()
    assert step(model, optimizer, batch, torch.zeros(8, 6))["max_logvar"] == pytest.approx(expected.item())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_update_ratio_is_that_of_the_weights_before_and_after(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor], memory_format: torch.memory_format
) -> None:
    model, optimizer = made(small())
    model = model.to(memory_format=memory_format)
    for _ in range(3):
        before = flat(model)
        values = step(model, optimizer, make_tiles(8), torch.randn(8, 6), measure_update=True)
        expected = (flat(model) - before).norm() / before.norm()
        assert expected > 0
        assert values["update_ratio"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_measuring_the_update_changes_no_weight(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    results = []
    for measure in (True, False):
        model, optimizer = made(small())
        for seed in range(3):
            noise = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
            values = step(model, optimizer, make_tiles(8), noise, measure_update=measure)
        assert values["update_ratio"].isnan().item() is not measure
        results.append(flat(model))
    assert torch.equal(*results)


@pytest.mark.parametrize("bias", [1e4, float("nan")])
def test_a_step_that_is_not_finite_leaves_the_weights(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor], bias: float
) -> None:
    model, optimizer = made(small())
    with torch.no_grad():
        model.encoder.fc_logvar.bias.fill_(bias)
    before = [p.detach().clone() for p in model.parameters()]
    values = step(model, optimizer, make_tiles(8), torch.randn(8, 6), measure_update=True)
    assert not values["loss"].isfinite()
    after = list(model.parameters())
    assert all(torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in zip(after, before, strict=True))


def test_half_precision_losses_are_float32_and_near_those_of_float32(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    model, _ = made(small())
    batch, noise = make_tiles(8), torch.randn(8, 6)
    full, _ = Loss(precision="float32")(model, batch, noise, 0.3)
    half, output = Loss(precision="bfloat16")(model, batch, noise, 0.3)
    for a, b in zip(half[:4], full[:4], strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)
    assert all(part.dtype == torch.float32 for part in output)
    assert half.recon_loss != full.recon_loss, "bfloat16 should have rounded something"


def test_the_state_of_a_run_measures_the_update_every_few_steps_and_counts_its_steps(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small())
    loader = BatchLoader(make_tiles(40), config.batch_size, 0)
    state = TrainState(config, loader, None)
    records = [state.advance(batch, 0.1) for _ in range(4) for batch in loader.epoch()]
    assert [record["step"] for record in records] == list(range(20))
    for record in records:
        assert (record["update_ratio"] > 0) == (record["step"] % UPDATE_RATIO_EVERY == 0)
    assert state.monitor.steps == state.step == 20


def test_each_step_has_its_own_reparameterisation_noise_which_the_seed_determines(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    def draws(seed: int) -> list[Tensor]:
        config = resolve(small(seed=seed))
        state = TrainState(config, BatchLoader(make_tiles(40), 8, 0), None)
        return [state.draw_noise(50) for _ in range(3)]

    one, same, other = draws(0), draws(0), draws(1)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], other[0])
    together = torch.stack(one)
    assert together.mean().abs() < 0.15
    assert together.std() == pytest.approx(1, abs=0.1)


def test_the_optimizer_takes_each_steps_learning_rate_from_the_schedule(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small(optim={"lr": 0.01, "lr_schedule": "cosine"}))
    loader = BatchLoader(make_tiles(40), config.batch_size, 0)
    state = TrainState(config, loader, None)
    for batch in loader.epoch():
        record = state.advance(batch, 0.1)
        assert state.optimizer.param_groups[0]["lr"] == record["lr"]
        assert record["lr"] == state.learning_rate.at(int(record["step"]))


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_first_update_is_that_of_adam_written_out(
    small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor], optimizer: str
) -> None:
    config = small(optim={"optimizer": optimizer, "lr": 0.01, "weight_decay": 0.1, "eps": 1e-4})
    model, built = made(config)
    before = flat(model)
    step(model, built, make_tiles(8), torch.randn(8, 6))
    g = torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])
    if optimizer == "adam":
        g = g + 0.1 * before
    # After one step both bias-corrected moments are those of this gradient alone.
    expected = before - 0.01 * g / (g.abs() + 1e-4)
    if optimizer == "adamw":
        expected = expected - 0.01 * 0.1 * before
    torch.testing.assert_close(flat(model), expected, rtol=1e-4, atol=1e-6)
