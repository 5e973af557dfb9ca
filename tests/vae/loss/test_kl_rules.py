"""What the rules charge for the KL."""

import pytest
import torch

from vae.config import ObjectiveConfig
from vae.loss import kl_rules
from vae.names import KL_RULES

KL = torch.tensor([0.0, 0.05, 0.5, 3.0], dtype=torch.float64)


def charged(name: str, weight: float = 1.0, progress: float = 1.0, **settings: float) -> float:
    config = ObjectiveConfig.model_validate({"kl_rule": name, **settings})
    return kl_rules.build(config)(KL, weight, progress, config).item()


@pytest.mark.parametrize("name", KL_RULES.names)
def test_every_rule_is_linear_in_the_weight(name: str) -> None:
    assert charged(name, 3.0) == pytest.approx(3 * charged(name, 1.0), rel=1e-12)


def test_beta_charges_the_kl() -> None:
    assert charged("beta", 2.0) == pytest.approx(2 * 3.55, rel=1e-12)


def test_free_bits_charge_the_floor_below_it_and_have_no_gradient_there() -> None:
    assert charged("free_bits", free_bits=0.1) == pytest.approx(0.1 + 0.1 + 0.5 + 3.0, rel=1e-12)
    kl = KL.clone().requires_grad_()
    config = ObjectiveConfig(kl_rule="free_bits", free_bits=0.1)
    (gradient,) = torch.autograd.grad(kl_rules.build(config)(kl, 1.0, 1.0, config), kl)
    assert gradient.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("progress", "target"), [(0.0, 0.0), (0.5, 5.0), (1.0, 10.0)])
def test_capacity_charges_the_distance_from_a_growing_target(progress: float, target: float) -> None:
    assert charged("capacity", 1.0, progress, capacity=10.0) == pytest.approx(abs(3.55 - target), rel=1e-12)
