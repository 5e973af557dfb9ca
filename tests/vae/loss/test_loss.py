"""The loss against torch.distributions and against sums written out."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vae.loss.loss import Loss, kl_per_dim
from vae.model.protocol import Forward


def made(batch: int, size: int = 8, dims: int = 5) -> tuple[torch.Tensor, Forward]:
    generator = torch.Generator().manual_seed(batch)
    x, recon = torch.randn(2, batch, 3, size, size, generator=generator, dtype=torch.float64)
    mu, logvar = torch.randn(2, batch, dims, generator=generator, dtype=torch.float64)
    return x, Forward(recon, mu, 2 * logvar, 2 * logvar)


def test_kl_is_that_of_two_normal_distributions() -> None:
    _, output = made(7)
    posterior = Normal(output.mu, output.logvar.exp().sqrt())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(output.mu), torch.ones_like(output.mu)))
    torch.testing.assert_close(kl_per_dim(output.mu, output.logvar), expected.mean(0), rtol=1e-12, atol=1e-12)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    zero = torch.zeros(3, 4, dtype=torch.float64)
    assert kl_per_dim(zero, zero).abs().max() == 0
    for mu, logvar in ((zero + 0.1, zero), (zero - 0.1, zero), (zero, zero + 0.1), (zero, zero - 0.1)):
        assert kl_per_dim(mu, logvar).min() > 0


def test_recon_loss_is_summed_over_an_image_and_averaged_over_the_batch() -> None:
    x, output = made(6)
    images = [sum(((a - b) ** 2).flatten().tolist()) for a, b in zip(x, output.recon, strict=True)]
    assert Loss().terms(x, output, 1.0).recon_loss.item() == pytest.approx(sum(images) / 6, rel=1e-12)


def test_repeating_a_batch_changes_no_loss_and_enlarging_an_image_multiplies_it() -> None:
    x, output = made(4)
    once = Loss().terms(x, output, 0.7)
    twice = Loss().terms(
        x.repeat(2, 1, 1, 1), Forward(*(part.repeat(2, *[1] * (part.dim() - 1)) for part in output)), 0.7
    )
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
    tiled = Loss().terms(x.repeat(1, 1, 2, 2), output._replace(recon=output.recon.repeat(1, 1, 2, 2)), 0.7)
    torch.testing.assert_close(tiled.recon_loss, 4 * once.recon_loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(tiled.kl, once.kl, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kl_weight", [0.0, 0.5, 1.0, 30.0])
def test_the_loss_is_reconstruction_plus_weighted_kl(kl_weight: float) -> None:
    x, output = made(5)
    terms = Loss().terms(x, output, kl_weight)
    assert terms.kl.item() == pytest.approx(sum(terms.kl_per_dim.tolist()), rel=1e-12)
    expected = terms.recon_loss.item() + kl_weight * terms.kl.item()
    assert terms.loss.item() == pytest.approx(expected, rel=1e-12)
