"""What every clipping policy must keep, and what `norm` and `none` do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from vae.config import OptimConfig
from vae.names import CLIPPING
from vae.optim import clipping
from vae.optim.clipping import ClippingPolicy

POLICIES = pytest.mark.parametrize("name", CLIPPING.names)
Build = Callable[[], ClippingPolicy]


def build(name: str, clip_norm: float = 1.0) -> ClippingPolicy:
    config = OptimConfig.model_validate({"clip": name, "clip_norm": clip_norm})
    return clipping.build(config, config.clip_norm)


def gradients(norm: float, seed: int = 0) -> list[Parameter]:
    """Parameters with gradients of this global norm; the last has none."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [
        Parameter(torch.randn(shape, generator=generator)) for shape in ((4, 3), (7,), (2, 2, 2), (5,))
    ]
    raw = [torch.randn(p.shape, generator=generator) for p in parameters[:-1]]
    size = global_norm(raw)
    for parameter, gradient in zip(parameters, raw, strict=False):
        parameter.grad = gradient * (norm / size)
    return parameters


def grads(parameters: list[Parameter]) -> list[Tensor]:
    return [p.grad.clone() for p in parameters if p.grad is not None]


def global_norm(tensors: list[Tensor]) -> float:
    return torch.cat([t.flatten().double() for t in tensors]).norm().item()


def clip(policy: ClippingPolicy, parameters: list[Parameter]) -> Tensor:
    return policy.clip(parameters, torch.tensor(global_norm(grads(parameters))))


@POLICIES
def test_a_policy_changes_only_gradients_and_returns_one_boolean(name: str) -> None:
    parameters = gradients(50.0)
    before = [p.detach().clone() for p in parameters]
    acted = clip(build(name), parameters)
    assert acted.dtype == torch.bool
    assert acted.shape == ()
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    assert parameters[-1].grad is None


@POLICIES
def test_a_restored_policy_continues_as_if_never_stopped(name: str) -> None:
    one, other = build(name), build(name)
    norms = [5.0, 0.1, 30.0, 2.0, 0.5, 100.0, 1.5, 0.7]
    for seed, norm in enumerate(norms[:4]):
        clip(one, gradients(norm, seed))
    other.load_state_dict(one.state_dict())
    for seed, norm in enumerate(norms[4:]):
        a, b = gradients(norm, seed), gradients(norm, seed)
        assert clip(one, a) == clip(other, b)
        assert all(torch.equal(x, y) for x, y in zip(grads(a), grads(b), strict=True))


@pytest.mark.parametrize("name", ["none", "norm"])
def test_a_policy_without_state_refuses_the_state_of_another(name: str) -> None:
    assert build(name).state_dict() == {}
    with pytest.raises(ValueError, match=r"keeps no state, but the checkpoint holds {'history'}"):
        build(name).load_state_dict({"history": [1.0]})


@pytest.mark.parametrize("norm", [1e-6, 1.0, 1e9, float("inf"), float("nan")])
def test_none_touches_no_gradient(norm: float) -> None:
    parameters = gradients(norm)
    before = grads(parameters)
    assert not clip(build("none"), parameters)
    for a, b in zip(grads(parameters), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("clip_norm", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9995, 1.0005, 2.0, 1e4])
def test_norm_bounds_the_norm_and_keeps_the_direction(clip_norm: float, ratio: float) -> None:
    parameters = gradients(clip_norm * ratio)
    before = torch.cat([g.flatten() for g in grads(parameters)]).double()
    clip(build("norm", clip_norm), parameters)
    after = torch.cat([g.flatten() for g in grads(parameters)]).double()
    assert after.norm() <= clip_norm * (1 + 1e-6)
    torch.testing.assert_close(after / after.norm(), before / before.norm(), rtol=0, atol=1e-6)
    # As short as it must be and no shorter; torch divides by the norm plus 1e-6.
    expected = min(ratio, 1.0) * clip_norm
    assert after.norm().item() == pytest.approx(expected, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("clip_norm", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9995, 1.0005, 2.0, 1e4])
def test_norm_says_that_it_acted_exactly_where_gradients_changed(clip_norm: float, ratio: float) -> None:
    parameters = gradients(clip_norm * ratio)
    before = grads(parameters)
    acted = clip(build("norm", clip_norm), parameters)
    changed = any(not torch.equal(a, b) for a, b in zip(grads(parameters), before, strict=True))
    assert bool(acted) == changed == (ratio > 1)


def test_norm_without_a_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a clip_norm"):
        clipping.build(OptimConfig(clip="norm", clip_norm_relative=1.0), None)
