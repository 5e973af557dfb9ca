"""Likelihoods against torch.distributions and sums written out."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from vae.config import TrainConfig
from vae.loss.likelihoods.discretized_logistic import DiscretizedLogistic
from vae.loss.likelihoods.gaussian import Gaussian
from vae.loss.likelihoods.gaussian_optimal import GaussianOptimal
from vae.loss.likelihoods.mse_sum import MseSum
from vae.names import LIKELIHOODS


def images(batch: int = 4, size: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    recon = torch.rand(batch, 3, size, size, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    levels = torch.randint(0, 256, (batch, 3, size, size), generator=generator)
    return recon, levels.double() / 127.5 - 1


def per_image(log_p: Tensor) -> float:
    return float(-log_p.sum()) / len(log_p)


@pytest.mark.parametrize("log_sigma", [-3.0, 0.0, 1.5])
def test_gaussian_is_the_density_of_a_normal_at_its_bounded_sigma(log_sigma: float) -> None:
    recon, x = images()
    likelihood = Gaussian().double()
    with torch.no_grad():
        likelihood.log_sigma.fill_(log_sigma)
    sigma = math.exp(-6 + math.log1p(math.exp(log_sigma + 6)))
    assert likelihood(recon, x).item() == pytest.approx(
        per_image(Normal(recon, sigma).log_prob(x)), rel=1e-10
    )


def test_the_optimal_variance_is_the_least_loss_over_all_variances() -> None:
    recon, x = images()
    optimal = GaussianOptimal()(recon, x).item()
    sigma = float((recon - x).square().mean().sqrt())
    assert optimal == pytest.approx(per_image(Normal(recon, sigma).log_prob(x)), rel=1e-10)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert per_image(Normal(recon, sigma * factor).log_prob(x)) > optimal


def test_mse_is_a_gaussian_of_variance_one_half_less_a_constant() -> None:
    recon, x = images()
    other = recon.flip(0)
    normal = [per_image(Normal(r, math.sqrt(0.5)).log_prob(x)) for r in (recon, other)]
    mse = [MseSum()(r, x).item() for r in (recon, other)]
    assert mse[0] - mse[1] == pytest.approx(normal[0] - normal[1], rel=1e-10)


@pytest.mark.parametrize("log_scale", [-6.0, -2.0, 0.5])
@pytest.mark.parametrize("centre", [-1.0, -0.9961, 0.003, 0.99])
def test_the_256_grey_levels_have_probability_one_together(log_scale: float, centre: float) -> None:
    levels = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).view(256, 1, 1, 1).expand(256, 3, 1, 1)
    likelihood = DiscretizedLogistic().double()
    with torch.no_grad():
        likelihood.log_scale.fill_(log_scale)
    total = 0.0
    for level in levels:
        # Three equal channels: a third of the image's log likelihood is that of one value.
        total += math.exp(-likelihood(torch.full_like(level[None], centre), level[None]).item() / 3)
    assert total == pytest.approx(1, abs=1e-9)


def test_the_discretized_logistic_is_a_difference_of_its_distribution_function() -> None:
    recon, x = images(2, 4)
    x = x.clamp(-0.99, 0.99)
    likelihood = DiscretizedLogistic().double()
    scale = likelihood.log_scale.detach().exp().view(1, 3, 1, 1)
    mass = torch.sigmoid((x - recon + 1 / 255) / scale) - torch.sigmoid((x - recon - 1 / 255) / scale)
    assert likelihood(recon, x).item() == pytest.approx(per_image(mass.log()), rel=1e-9)


def test_a_value_far_from_its_reconstruction_has_a_finite_loss_and_gradient() -> None:
    likelihood = DiscretizedLogistic()
    with torch.no_grad():
        likelihood.log_scale.fill_(-7)
    recon = torch.full((1, 3, 2, 2), -1.0, requires_grad=True)
    loss = likelihood(recon, torch.full((1, 3, 2, 2), 0.9))
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())
    assert recon.grad is not None
    assert recon.grad.isfinite().all()
    assert recon.grad.abs().min() > 0


@pytest.mark.parametrize("name", LIKELIHOODS.names)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    likelihood = LIKELIHOODS.load(name).build().double()
    recon, x = images(2, 3)
    assert torch.autograd.gradcheck(lambda r: likelihood(r, x), recon.requires_grad_())


def test_grey_levels_need_a_range_that_has_them() -> None:
    with pytest.raises(ValueError, match="tanh_unit"):
        TrainConfig.model_validate(
            {"objective": {"likelihood": "discretized_logistic"}, "model": {"output_range": "paper"}}
        )
