"""value, percentile, zscore and agc against their formulas."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from vae.config import OptimConfig
from vae.optim import clipping
from vae.optim.clipping import ClippingPolicy
from vae.optim.clipping.percentile import percentile


def policy(name: str, **settings: float) -> ClippingPolicy:
    return clipping.build(OptimConfig.model_validate({"clip": name, **settings}), None)


def step(made: ClippingPolicy, norm: float, seed: int = 0) -> tuple[float, bool]:
    """Clips one gradient of this norm: its norm afterwards, and whether the policy says that it acted."""
    p = Parameter(torch.zeros(50, dtype=torch.float64))
    p.grad = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p.grad *= norm / p.grad.norm()
    acted = bool(made.clip([p], p.grad.norm()))
    return float(p.grad.norm()), acted


def lognormal(count: int) -> list[float]:
    return np.random.default_rng(0).lognormal(3, 0.5, count).tolist()


def test_value_bounds_every_entry_and_leaves_the_rest() -> None:
    p = Parameter(torch.zeros(3))
    p.grad = torch.tensor([0.5, -2.0, 7.0])
    assert policy("value", clip_value=1.0).clip([p], p.grad.norm())
    assert p.grad.tolist() == [0.5, -1.0, 1.0]
    p.grad = torch.tensor([0.5, -0.9, 0.1])
    assert not policy("value", clip_value=1.0).clip([p], p.grad.norm())


@pytest.mark.parametrize("percentile", [10.0, 50.0, 100.0])
def test_percentile_clips_to_the_percentile_of_the_norms_so_far(percentile: float) -> None:
    made = policy("percentile", clip_percentile=percentile)
    norms = lognormal(60)
    for i, norm in enumerate(norms):
        after, acted = step(made, norm)
        bound = np.percentile(norms[: i + 1], percentile)
        assert after == pytest.approx(min(norm, bound), rel=1e-9)
        assert acted == (norm > bound * (1 + 1e-12)) or norm == pytest.approx(bound)


@pytest.mark.parametrize("percent", [0.0, 3.3, 10.0, 50.0, 99.9, 100.0])
def test_the_percentile_is_numpys_to_the_last_bit(percent: float) -> None:
    values = torch.full((1000,), torch.inf, dtype=torch.float64)
    for count, value in enumerate(lognormal(1000), 1):
        values[count - 1] = value
        if count < 40 or count % 97 == 0 or count == 1000:
            found = percentile(values, torch.tensor([count]), percent)
            assert float(found) == np.percentile(values[:count].numpy(), percent)
    assert float(percentile(values, torch.tensor([0]), percent)) == np.inf


def test_a_long_history_forgets_its_oldest() -> None:
    made, norms = policy("percentile"), lognormal(2500)
    p = Parameter(torch.zeros(1))
    p.grad = torch.zeros(1)
    for norm in norms:
        made.clip([p], torch.tensor(norm, dtype=torch.float64).float())
        made.clip([p], torch.tensor(np.nan))
    norms = torch.tensor(norms).float().tolist()
    assert made.state_dict() == {"norms": norms[-1000:]}


def test_zscore_clips_an_outlier_harder_the_further_out_it_is() -> None:
    norms = lognormal(25)
    mu, sigma = np.mean(norms), np.std(norms)
    for z in (2.4, 2.6, 5.0, 50.0):
        made = policy("zscore")
        for norm in norms:
            assert step(made, norm) == (pytest.approx(norm), False)
        after, acted = step(made, mu + z * sigma)
        assert acted == (z > 2.5)
        assert after == pytest.approx(mu + (2.5**2 / z if z > 2.5 else z) * sigma, rel=1e-9)


def test_zscore_follows_a_rising_norm_and_survives_what_is_not_finite() -> None:
    made = policy("zscore")
    acted = [step(made, 1.0 + 0.05 * i + (0.2 if i % 2 else 0.0))[1] for i in range(400)]
    assert sum(acted) / len(acted) < 0.2
    state = made.state_dict()
    p = Parameter(torch.zeros(2))
    p.grad = torch.tensor([torch.inf, 1.0])
    assert not made.clip([p], p.grad.norm())
    assert made.state_dict() == state


def test_agc_bounds_every_unit_by_its_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(s, generator=generator) for s in ((6, 4, 3, 3), (5, 7), (8,))]
    weights[1][2] = 0  # a dead unit: bounded by the least weight norm
    parameters = [Parameter(w.clone()) for w in weights]
    raw: list[Tensor] = []
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator) * torch.logspace(-5, 1, len(p)).view(
            -1, *[1] * (p.dim() - 1)
        )
        raw.append(p.grad.clone())
    assert policy("agc", agc_ratio=0.01).clip(parameters, torch.tensor(1.0))
    for p, g in zip(parameters, raw, strict=True):
        for w, before, after in zip(p.detach(), g, p.grad, strict=True):  # type: ignore[arg-type]
            bound = 0.01 * max(float(w.norm()), 1e-3)
            expected = before * min(1.0, bound / float(before.norm()))
            torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", ["percentile", "zscore"])
@pytest.mark.parametrize("at", [7, 40])
def test_a_restored_policy_continues_with_its_history(name: str, at: int) -> None:
    norms = lognormal(80)
    one, other = policy(name), policy(name)
    for norm in norms[:at]:
        step(one, norm)
    other.load_state_dict(one.state_dict())
    assert [step(one, n) for n in norms[at:]] == [step(other, n) for n in norms[at:]]
