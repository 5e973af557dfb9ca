"""The importance-weighted likelihood, against values that are known."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from data_io import BatchLoader
from vae.config import ObjectiveConfig, TrainConfig
from vae.loss import likelihoods
from vae.loss.likelihoods import Likelihood
from vae.loss.likelihoods.gaussian import normal_log_density
from vae.loss.loss import kl_per_dim
from vae.model.network import VAE, build_model
from vae.names import LIKELIHOODS
from vae.quality.likelihood import log_likelihood, negative_log_likelihood
from vae.training.fit import fit

LATENT, VARIANCE = 3, 0.3


class Linear:
    """x = W z + b + noise: its evidence and its posterior are known (Bishop 2006, section 2.3.3)."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(12, LATENT, generator=generator)
        self.bias = torch.randn(12, generator=generator)
        noise = torch.randn(8, 12, generator=generator)
        self.x = (
            torch.randn(8, LATENT, generator=generator) @ self.weight.T + self.bias + VARIANCE**0.5 * noise
        )
        covariance = self.weight @ self.weight.T + VARIANCE * torch.eye(12)
        self.exact = MultivariateNormal(self.bias.double(), covariance.double()).log_prob(self.x.double())
        precision = torch.eye(LATENT) + self.weight.T @ self.weight / VARIANCE
        self.mean = (self.x - self.bias) @ self.weight @ torch.linalg.inv(precision) / VARIANCE
        self.precision = precision

    def images(self, rows: Tensor) -> Tensor:
        return rows.view(-1, 3, 2, 2)

    def decode(self, z: Tensor) -> Tensor:
        return self.images(z @ self.weight.T + self.bias)

    def estimate(self, mu: Tensor, logvar: Tensor, samples: int, seed: int = 0) -> Tensor:
        density = normal_log_density(VARIANCE)
        x = self.images(self.x)
        return log_likelihood(x, mu, logvar, self.decode, density, samples=samples, seed=seed)


def test_with_the_exact_posterior_every_sample_gives_the_exact_value() -> None:
    linear = Linear()
    # Turned so that the posterior's dimensions are independent, as those of an encoder are.
    values, vectors = torch.linalg.eigh(linear.precision)
    linear.weight, mean = linear.weight @ vectors, linear.mean @ vectors
    logvar = -values.log().expand(len(mean), -1)
    for samples in (1, 7):
        assert linear.estimate(mean, logvar, samples).tolist() == pytest.approx(
            linear.exact.tolist(), abs=1e-3
        )


def test_with_another_posterior_the_bound_is_below_and_tightens_with_samples() -> None:
    linear = Linear()
    mu, logvar = linear.mean + 0.1, torch.full_like(linear.mean, -1.0)
    means = [
        float(torch.stack([linear.estimate(mu, logvar, k, seed) for seed in range(20)]).mean())
        for k in (1, 4, 16, 256)
    ]
    exact = float(linear.exact.mean())
    assert means == sorted(means)
    assert means[0] < exact - 1
    assert linear.estimate(mu, logvar, 20_000).tolist() == pytest.approx(linear.exact.tolist(), abs=0.1)


def test_images_and_samples_in_batches_give_what_they_give_together(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = Linear()
    whole = linear.estimate(linear.mean, torch.full_like(linear.mean, -1.0), 50)
    for at_once in (3, 16, 24):
        monkeypatch.setattr("vae.quality.likelihood.DECODED", at_once)
        parts = linear.estimate(linear.mean, torch.full_like(linear.mean, -1.0), 50)
        assert parts.tolist() == pytest.approx(whole.tolist(), rel=1e-6)


Small = Callable[..., TrainConfig]


def trained(small: Small, make_tiles: Callable[..., Tensor], **changes: Any) -> tuple[VAE, Likelihood]:
    config = small(epochs=4, **changes)
    result = fit(config, BatchLoader(make_tiles(40), 8, 0), make_tiles(12, seed=1))
    model, likelihood = build_model(config.model, 0), likelihoods.build(config.objective)
    model.load_state_dict(result.weights)
    likelihood.load_state_dict(result.likelihood)
    return model, likelihood


@pytest.mark.parametrize("name", LIKELIHOODS.names)
def test_every_likelihood_has_a_bound_that_tightens(
    small: Small, make_tiles: Callable[..., Tensor], name: str
) -> None:
    objective = ObjectiveConfig(likelihood=name, kl_weight=1.0)
    model, likelihood = trained(small, make_tiles, objective=objective.model_dump())
    tiles = make_tiles(16, seed=2)
    one, many = (
        torch.stack(
            [
                negative_log_likelihood(model, likelihood, objective, tiles, samples=k, seed=seed).nats
                for seed in range(30 // k + 1)
            ]
        ).mean()
        for k in (1, 30)
    )
    assert many < one + 0.5
    assert math.isfinite(many)


def test_with_one_sample_it_is_the_evidence_lower_bound(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    objective, tiles = ObjectiveConfig(likelihood="mse_sum", kl_weight=2.0), make_tiles(16, seed=2)
    model, likelihood = trained(small, make_tiles, objective=objective.model_dump())
    found = [
        negative_log_likelihood(model, likelihood, objective, tiles, samples=1, seed=seed).nats.mean()
        for seed in range(80)
    ]
    x = tiles / 127.5 - 1
    with torch.no_grad():
        mu, logvar = model.eval().encoder(x)
        noise = torch.randn(80, *mu.shape, generator=torch.Generator().manual_seed(9))
        errors = [(model.decoder(mu + (logvar / 2).exp() * eps) - x).square().sum() / 16 for eps in noise]
    values = 3 * 32 * 32
    # A Gaussian of variance kl_weight / 2 = 1 over values of which one is 127.5 grey levels.
    constant = values * (0.5 * math.log(2 * math.pi) + math.log(127.5))
    bound = 0.5 * torch.stack(errors).mean() + kl_per_dim(mu, logvar).sum() + constant
    assert float(torch.stack(found).mean()) == pytest.approx(float(bound), abs=1.0)


def test_the_unit_is_a_grey_level_whatever_range_the_network_has() -> None:
    tiles = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    nats = {}
    for output_range, spread in (("tanh_unit", 0.5), ("imagenet_linear", 0.226)):
        config = TrainConfig().model.model_copy(update={"image_size": 32, "output_range": output_range})
        model = build_model(config, 0)
        for parameter in model.parameters():
            parameter.data.zero_()
        # One image in the middle of the range, whatever the latent; the same width in grey levels.
        objective = ObjectiveConfig(likelihood="mse_sum", kl_weight=2 * (0.3 / spread) ** 2)
        found = negative_log_likelihood(model, likelihoods.build(objective), objective, tiles, samples=2)
        nats[output_range] = float(found.nats.mean())
        assert found.bits_per_dim.tolist() == pytest.approx((found.nats / 3072 / math.log(2)).tolist())
    assert nats["tanh_unit"] == pytest.approx(nats["imagenet_linear"], rel=0.01)


def test_a_uniform_choice_of_level_is_eight_bits_a_value() -> None:
    objective = ObjectiveConfig(likelihood="discretized_logistic")
    likelihood = likelihoods.build(objective)
    with torch.no_grad():
        likelihood.log_scale.fill_(3.0)  # type: ignore[operator, union-attr]
    model = build_model(TrainConfig().model, 0)
    levels = torch.randint(1, 255, (4, 3, 64, 64), dtype=torch.uint8)
    found = negative_log_likelihood(model, likelihood, objective, levels, samples=1)
    assert found.discrete
    # All but the outermost levels share what the tails leave: a logistic of scale e^3 is flat over [-1, 1].
    flat = math.log2(4 * math.exp(3) * 127.5)
    assert found.bits_per_dim.mean().item() == pytest.approx(flat, abs=0.02)


def test_without_a_density_the_reason_is_said(small: Small) -> None:
    objective = ObjectiveConfig(likelihood="mse_sum", kl_weight=0)
    model = build_model(small().model, 0)
    tiles = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"no density with objective\.kl_weight=0"):
        negative_log_likelihood(model, likelihoods.build(objective), objective, tiles)
    with pytest.raises(ValueError, match="samples must be 1 or more"):
        negative_log_likelihood(
            model, likelihoods.build(ObjectiveConfig()), ObjectiveConfig(), tiles, samples=0
        )
    with pytest.raises(ValueError, match=r"objective\.likelihood=mse_sum defines no log_density"):
        Likelihood().log_density(objective, tiles, tiles)
