"""Measuring the edge changes nothing, costs what is documented, and is refused if it is not known."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import Parameter

from data_io import BatchLoader
from vae.config import OptimConfig, TrainConfig
from vae.model.latent import fixed_noise
from vae.names import OPTIMIZERS
from vae.optim import optimizers
from vae.stability.curvature import (
    LINE_SEARCH_PASSES,
    critical_sharpness,
    edge_ratio_quadratic,
    undisturbed,
    update_direction,
)
from vae.stability.edge import stable_adamw_rms
from vae.training.state import TrainState

KNOWN = [name for name in OPTIMIZERS.names if OPTIMIZERS.literal(name, "UPDATE_DIRECTION")]


def quadratic_step(p: Parameter, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (torch.arange(1.0, 5.0) * p.square()).sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", OPTIMIZERS.names)
def test_an_optimizer_says_whether_its_update_direction_is_known(name: str) -> None:
    assert OPTIMIZERS.literal(name, "UPDATE_DIRECTION") in ("trial_step", None)


def test_the_update_direction_of_every_optimizer_that_ships_is_known() -> None:
    assert set(KNOWN) >= {"adam", "adamw", "sgd", "prodigy", "schedulefree"}


@pytest.mark.parametrize("name", KNOWN)
def test_a_trial_step_gives_the_next_step_and_leaves_no_trace(name: str) -> None:
    """What is declared must hold: the direction is that of the next step, and all that a step changes is
    undone."""
    p = Parameter(torch.ones(4))
    optimizer = optimizers.build(OptimConfig(optimizer=name, lr=0.01), [p])
    optimizers.set_mode(optimizer, training=True)
    for _ in range(3):
        quadratic_step(p, optimizer)
        optimizer.step()
    quadratic_step(p, optimizer)
    before, state = p.detach().clone(), copy.deepcopy(optimizer.state_dict())
    (u,) = update_direction(optimizer, [p], 0.01)
    assert torch.equal(p, before)
    assert repr(optimizer.state_dict()) == repr(state)
    optimizer.step()
    torch.testing.assert_close(p.detach(), before + 0.01 * u, rtol=0, atol=1e-7)
    assert not torch.equal(p, before)


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"curvature_every": 2}, "set curvature_every=0"),
        ({"optim": {"controller": "edge_ratio"}}, "set optim.controller=none"),
    ],
    ids=["curvature", "controller"],
)
def test_an_optimizer_without_an_update_direction_is_refused_only_if_the_edge_is_to_be_measured(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], mend: str
) -> None:
    literal = OPTIMIZERS.literal
    monkeypatch.setattr(
        OPTIMIZERS, "literal", lambda name, constant: None if name == "sgd" else literal(name, constant)
    )
    with pytest.raises(ValidationError) as refused:
        TrainConfig.model_validate(settings | {"optim": settings.get("optim", {}) | {"optimizer": "sgd"}})
    (problem,) = refused.value.errors()
    assert "not known for optim.optimizer=sgd" in problem["msg"]
    assert mend in problem["msg"]
    TrainConfig.model_validate({"optim": {"optimizer": "sgd"}})
    TrainConfig.model_validate(settings)


@pytest.mark.parametrize(("optimizer", "known"), [("sgd", True), ("adamw", True), ("schedulefree", False)])
def test_a_sharpness_that_is_not_known_is_absent(
    small: Callable[..., Any], run_fit: Callable[..., Any], optimizer: str, known: bool
) -> None:
    optim = {"optimizer": optimizer, "lr": 1e-5, "lr_schedule": "constant"}
    run = run_fit(small(epochs=2, curvature_every=1, optim=optim))
    for record in run.watcher.epochs:
        assert record["stability/edge_ratio"] > 0
        assert ("stability/preconditioned_sharpness" in record) is known


def test_measuring_the_edge_changes_nothing_of_the_run(
    small: Callable[..., Any], run_fit: Callable[..., Any]
) -> None:
    plain, measured = run_fit(small()), run_fit(small(curvature_every=1))
    for name, weight in plain.result.weights.items():
        assert torch.equal(weight, measured.result.weights[name]), name
    for record in measured.watcher.epochs[:-1]:
        for name in ("edge_ratio", "edge_ratio_line_search", "preconditioned_sharpness"):
            assert record[f"stability/{name}"] > 0


def test_the_two_estimators_agree_in_a_real_run(
    small: Callable[..., Any], run_fit: Callable[..., Any]
) -> None:
    run = run_fit(small(epochs=6, curvature_every=1, optim={"lr": 3e-3}))
    for record in run.watcher.epochs[2:-1]:
        a, b = record["stability/edge_ratio"], record["stability/edge_ratio_line_search"]
        assert abs(math.log(a / b)) < math.log(3)


def test_an_edge_ratio_takes_two_gradients_and_either_one_product_or_six_forward_passes(
    small: Callable[..., Any], make_tiles: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time: `tests/benchmarks/curvature_cost.py`."""
    config = small()
    state = TrainState(config, BatchLoader(make_tiles(40), config.batch_size, 0), None)
    for batch in state.source.epoch():
        state.advance(batch, 0.1)
    batch, noise = make_tiles(8), torch.randn(8, 6)
    counts = {"forward": 0, "backward": 0}
    edge = state.edge_on(batch, noise)
    loss, grad = edge.loss_function(0.1), torch.autograd.grad

    def counted_loss() -> Tensor:
        counts["forward"] += 1
        return loss()

    def counted_grad(*args: Any, **settings: Any) -> Any:
        counts["backward"] += 1
        return grad(*args, **settings)

    monkeypatch.setattr(torch.autograd, "grad", counted_grad)
    with undisturbed(state.model):
        gradients, u = edge.next_update(counted_loss, 1e-3)
        assert counts == {"forward": 1, "backward": 1}
        edge_ratio_quadratic(counted_loss, edge.parameters, u, 1e-3)
        assert counts == {"forward": 2, "backward": 3}, "and one of them is the Hessian-vector product"
        slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
        critical_sharpness(counted_loss, edge.parameters, u, 1e-3, slope)
    assert counts["forward"] <= 2 + 1 + LINE_SEARCH_PASSES
    assert counts["backward"] == 3, "the line search takes forward passes only"


@pytest.mark.parametrize("beta2", [0.99, 0.999])
def test_stable_adamw_rms_of_a_tenfold_gradient_is_that_of_its_closed_form(beta2: float) -> None:
    """A second moment of 1 before, so of beta2 + 100 (1 - beta2) after it. 1 for a stationary gradient."""
    p, q = Parameter(torch.zeros(1000)), Parameter(torch.zeros(10))
    optimizer = torch.optim.Adam([p, q], lr=1e-3, betas=(0.9, beta2))
    assert math.isnan(float(stable_adamw_rms(optimizer, [p, q]))), "no step, no moment"
    generator = torch.Generator().manual_seed(0)
    values = []
    for step in range(400):
        signs = torch.randn(1000, generator=generator).sign()
        p.grad = signs * (10 if step == 399 else 1)
        q.grad = torch.ones(10)
        optimizer.step()
        values.append(float(stable_adamw_rms(optimizer, [p, q])))
    assert values[:-1] == pytest.approx([1.0] * 399, rel=1e-4)
    corrected = 1 - beta2**400
    moment = (beta2 * (1 - beta2**399) + 100 * (1 - beta2)) / corrected
    assert values[-1] == pytest.approx(10 / math.sqrt(moment), rel=1e-3)
    assert values[-1] < 1 / math.sqrt(1 - beta2)


def test_adamw_and_adam_have_it_at_every_eighth_step_and_sgd_never(
    small: Callable[..., Any], run_fit: Callable[..., Any]
) -> None:
    for optimizer, known in (("adam", True), ("adamw", True), ("sgd", False)):
        steps = run_fit(small(epochs=2, optim={"optimizer": optimizer, "lr": 1e-5})).watcher.steps
        having = [r["step"] for r in steps if math.isfinite(r["stable_adamw_rms"])]
        assert having == ([0, 8] if known else [])
        if known:
            assert steps[0]["stable_adamw_rms"] == pytest.approx(1, abs=1e-3), (
                "one gradient is its own moment"
            )


def test_sharpness_at_init_is_that_of_the_loss_before_the_first_step_and_only_where_asked_for(
    small: Callable[..., Any], run_fit: Callable[..., Any], make_tiles: Callable[..., Tensor]
) -> None:
    config = small(epochs=1, curvature_every=1)
    (info,) = run_fit(config).watcher.infos
    state = TrainState(config, BatchLoader(make_tiles(40), config.batch_size, config.seed), None)
    edge = state.edge_on(make_tiles(40)[:8], fixed_noise(8, config.model.latent_dim, state.device))
    assert info.sharpness_at_init == pytest.approx(edge.sharpness(config.objective.kl_weight), rel=0.02)
    assert info.sharpness_at_init > 0
    assert run_fit(small(epochs=1)).watcher.infos[0].sharpness_at_init is None


def test_a_resumed_run_does_not_take_later_weights_for_those_at_init(
    small: Callable[..., Any], run_fit: Callable[..., Any], tmp_path: Path
) -> None:
    config = small(epochs=2, curvature_every=2)
    with pytest.raises(KeyboardInterrupt):
        run_fit(config, tmp_path / "state.pt", KeyboardInterrupt(), ("step", 7))
    resumed = run_fit(config, tmp_path / "state.pt")
    assert resumed.watcher.steps[0]["step"] == 5
    assert resumed.watcher.infos[0].sharpness_at_init is None


def test_measures_of_a_real_run_keep_the_relations_of_their_definitions(
    small: Callable[..., Any], run_fit: Callable[..., Any]
) -> None:
    """Stored as lr and 2 / lr_c: the ratio that older stores have is half of their product."""
    run = run_fit(small(epochs=4, curvature_every=2, optim={"lr": 3e-3, "lr_schedule": "constant"}))
    measured = [r for r in run.watcher.epochs if "stability/alpha" in r]
    assert len(measured) == 2
    for record in measured:
        critical = record["stability/critical_sharpness"]
        assert record["stability/edge_ratio_line_search"] == pytest.approx(3e-3 * critical / 2)
        assert record["stability/batch_sharpness"] > 0
        assert record["stability/alpha"] >= -1
        assert math.isfinite(record["stability/gradient_snr"])
