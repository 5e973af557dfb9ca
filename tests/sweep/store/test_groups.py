"""Trials side by side: by the plan's arms, or by the values of a small axis."""

from collections.abc import Mapping
from typing import Any

import pytest

from studies.base import SMOKE
from sweep.store.groups import Group, groups_of
from sweep.store.trials import TrialView
from sweep.study import Arm, Axis, ChoiceAxis, FloatAxis, IntAxis, Plan, load_study
from tests.sweep.report.synthetic import made_trial

LATENT = "model.latent_dim"
LR = FloatAxis(path="optim.lr", low=1e-4, high=1e-1, log=True)


def run(number: int, objective: float | None, params: Mapping[str, Any], **facts: Any) -> TrialView:
    outcome = "budget" if objective is not None else "diverged"
    return made_trial(
        number, objective=objective, params=params, **{"outcome": outcome, "seed": number} | facts
    )


def groups(trials: list[TrialView], plan: Plan | None) -> dict[str, Group]:
    return {group.name: group for group in groups_of(trials, plan)[1]}


@pytest.mark.parametrize(
    "axis", [ChoiceAxis(path=LATENT, choices=(8, 16)), IntAxis(path=LATENT, low=8, high=16)]
)
def test_without_arms_the_values_of_a_small_axis_are_the_groups(axis: Axis) -> None:
    plan = Plan(base=SMOKE, axes=(axis, LR), trials=4)
    trials = [
        run(0, 300.0, {LATENT: 16, "optim.lr": 1e-3}),
        run(1, 200.0, {LATENT: 16, "optim.lr": 2e-3}),
        run(2, None, {LATENT: 8, "optim.lr": 9e-2}),
        run(3, 400.0, {LATENT: 8, "optim.lr": 3e-3}, phase="confirm", arm="all"),
        run(4, 100.0, {LATENT: 8, "optim.lr": 3e-3}, phase="confirm", arm="all"),
    ]
    title, found = groups_of(trials, plan)
    assert (title, [group.name for group in found]) == ("latent_dim", ["8", "16"])
    eight, sixteen = found
    assert (sixteen.trials, sixteen.unstable, sixteen.best, sixteen.median) == (2, 0, 200.0, 250.0)
    assert sixteen.settings == {"optim.lr": 2e-3}
    assert (eight.trials, eight.unstable, eight.best) == (1, 1, None)
    assert eight.confirmed
    assert eight.confirmed[0] == pytest.approx(200.0)
    assert (eight.seeds, sixteen.confirmed) == (2, None)


def test_arms_are_the_groups_whatever_they_fix() -> None:
    plan = Plan(
        base=SMOKE,
        axes=(ChoiceAxis(path="optim.clip", choices=("none", "norm")), LR),
        arms=tuple(Arm(name=f"clip {name}", fixed={"optim.clip": name}) for name in ("none", "norm")),
        trials=2,
    )
    named = run(0, 300.0, {"optim.clip": "norm", "optim.lr": 1e-3}, arm="clip norm")
    by_its_values = TrialView(run(1, 100.0, {"optim.clip": "none", "optim.lr": 1e-3}).stored, plan)
    found = groups([named, by_its_values], plan)
    assert list(found) == ["clip none", "clip norm"]
    assert found["clip norm"].settings == {"optim.lr": 1e-3}


def test_arms_that_differ_in_numbers_are_in_the_order_of_these() -> None:
    plan = load_study("depth_study").plan("laptop")
    depths = (2, 8, 4)
    trials = [
        run(k, 300.0, {"model.encoder_depth": d, "model.decoder_depth": d}, arm=f"depth {d}")
        for k, d in enumerate(depths)
    ]
    trials.append(run(3, 300.0, {"model.encoder_depth": 2, "model.decoder_depth": 4}, arm="unequal"))
    assert list(groups(trials, plan)) == ["depth 2", "depth 4", "depth 8", "unequal"]


def test_a_study_with_neither_has_no_groups() -> None:
    trials = [run(0, 300.0, {"optim.lr": 1e-3})]
    assert groups(trials, Plan(base=SMOKE, axes=(LR,), trials=1)) == {}
    assert groups(trials, load_study("border_study").plan("smoke")) == {}
    assert groups(trials, None) == {}
