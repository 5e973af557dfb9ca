"""Arms of other studies stay inside a border that was mapped on the same base."""

import math
from pathlib import Path

import numpy as np
import optuna
import pytest

from studies.depth_study import STUDY as DEPTH_STUDY
from sweep.border.caps import inside_border, same_base, with_caps
from sweep.border.model import BorderModel, BorderRun
from sweep.search.explore import Explore
from sweep.search.sampling import ArmSampler, search_space
from sweep.store.home import Home
from sweep.store.keys import LR_CAP
from sweep.store.optuna_internals import engine_of
from sweep.store.storage import open_optuna
from sweep.study import Plan
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import flatten
from vae.stability.labels import Label

DEPTHS = (2, 4, 8)
PLANE = Plane(
    across=(Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=DEPTHS),)
)
PLAN = DEPTH_STUDY.plan("laptop")


def mapped(heights: dict[int, float], label: Label = "useless") -> dict[Label, BorderModel]:
    runs = [
        BorderRun(column, seed, float(x), bool(x > heights[depth]), 10, 0)
        for column, depth in enumerate(DEPTHS)
        if depth in heights
        for seed in range(3)
        for x in np.arange(heights[depth] - 0.55, heights[depth] + 0.6, 0.1)
    ]
    return {label: BorderModel(label, PLANE, (0, 1, 2), runs)}


def test_an_arm_is_capped_at_the_lower_end_of_its_columns_band() -> None:
    caps = inside_border(PLAN, mapped({2: -2.7, 4: -2.5, 8: -2.1}))
    assert math.log10(caps["depth 2"]) == pytest.approx(-2.7, abs=0.15)
    assert math.log10(caps["depth 2"]) < -2.7
    assert math.log10(caps["depth 8"]) == pytest.approx(-2.1, abs=0.15)
    assert caps["depth 2"] < caps["depth 4"] < caps["depth 5"] < caps["depth 8"]
    assert "unequal" not in caps


def test_useless_is_preferred_and_nonfinite_serves_where_it_is_all_there_is() -> None:
    both = mapped({2: -2.7, 4: -2.4, 8: -2.3}) | mapped({2: -2.2, 4: -2.1, 8: -2.1}, "nonfinite")
    assert inside_border(PLAN, both) == inside_border(PLAN, mapped({2: -2.7, 4: -2.4, 8: -2.3}))
    alone = {label: model for label, model in both.items() if label == "nonfinite"}
    assert math.log10(inside_border(PLAN, alone)["depth 2"]) == pytest.approx(-2.2, abs=0.15)


def test_a_border_above_the_range_or_with_no_room_below_caps_nothing() -> None:
    assert inside_border(PLAN, mapped({2: -1.2, 4: -1.3, 8: -1.4})) == {}
    assert inside_border(PLAN, mapped({2: -3.5, 4: -3.5, 8: -3.5})) == {}
    assert inside_border(PLAN, {}) == {}


def test_a_pinned_learning_rate_is_left_alone() -> None:
    pinned = PLAN.with_settings({"optim.lr": 1e-3})
    assert inside_border(pinned, mapped({2: -2.7, 4: -2.4, 8: -2.3})) == {}


def test_bases_are_the_same_where_neither_study_searches() -> None:
    border = Plan.for_border(PLAN.base, BorderPlan(plane=PLANE))
    assert same_base(PLAN, border)
    assert same_base(PLAN.with_settings({"seed": 3, "threads": 2, "epochs": 7, "quality_draws": 0}), border)
    assert same_base(PLAN.with_settings({"optim.lr": 1e-3}), border), "the map searches it"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("batch_size", 16),
        ("model.max_downsamples", 2),
        ("optim.optimizer", "adamw"),
        ("optim.beta1", 0.5),
        ("optim.eps", 1e-3),
        ("optim.weight_decay", 0.1),
        ("optim.lr_schedule", "constant"),
        ("optim.guard", "rollback"),
        ("objective.kl_weight", 4.0),
        ("precision", "float32"),
        ("data.flip", False),
    ],
)
def test_whatever_can_move_a_border_makes_another_base(path: str, value: object) -> None:
    border = Plan.for_border(PLAN.base, BorderPlan(plane=PLANE))
    assert flatten(PLAN.base.model_dump())[path] != value
    assert not same_base(PLAN.with_settings({path: value}), border)


@pytest.mark.parametrize(("epochs", "label"), [(26, "useless"), (12, "nonfinite")])
def test_a_map_of_runs_of_another_length_serves_without_the_useless_border(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, label: Label
) -> None:
    assert PLAN.base.epochs == 26
    both = mapped({2: -2.7, 4: -2.4, 8: -2.3}) | mapped({2: -2.2, 4: -2.1, 8: -2.1}, "nonfinite")
    home = Home(tmp_path / "home").create()
    theirs = Plan.for_border(PLAN.base.model_copy(update={"epochs": epochs}), BorderPlan(plane=PLANE))
    study = optuna.create_study(study_name="mapped", storage=open_optuna(home))
    study.set_user_attr("plan", theirs.model_dump_json())
    monkeypatch.setattr("sweep.border.caps.models", lambda *_: dict(both))
    capped, name = with_caps(PLAN, home)
    assert name == "mapped"
    assert dict(capped.caps) == inside_border(PLAN, {label: both[label]})
    engine_of(study).dispose()


def test_capped_trials_say_so_and_stay_below() -> None:
    caps = {arm.name: 2e-4 for arm in PLAN.arms}
    plan = PLAN.model_copy(update={"caps": caps, "capped_by": "border_study"})
    study = optuna.create_study(sampler=ArmSampler(plan, 0))
    explore = Explore(plan, 40)
    for _ in range(40):
        request = explore.next(study.get_trials())
        assert request is not None
        request.enqueue(study)
        trial = study.ask(search_space(plan))
        assert trial.user_attrs[LR_CAP] == 2e-4
        assert trial.user_attrs["capped_by"] == "border_study"
        assert 1e-4 <= trial.params["optim.lr"] <= 2e-4
        study.tell(trial, trial.params["optim.lr"])


def test_trials_from_before_the_map_do_not_break_the_sampler() -> None:
    study = optuna.create_study(sampler=ArmSampler(PLAN, 0))
    for cap in (None, 2e-4):
        caps = {} if cap is None else {arm.name: cap for arm in PLAN.arms}
        plan = PLAN.model_copy(update={"caps": caps})
        for _ in range(30):
            request = Explore(plan, 100).next(study.get_trials())
            assert request is not None
            request.enqueue(study)
            trial = study.ask(search_space(plan))
            assert cap is None or trial.params["optim.lr"] <= cap
            study.tell(trial, 1.0)
