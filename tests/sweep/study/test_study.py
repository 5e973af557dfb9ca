"""Plans: arms, pins, identity, and the studies that ship."""

from collections import Counter
from pathlib import Path

import pytest

from sweep.engine.planning import check_plan, default_scale
from sweep.errors import UserError
from sweep.study import SCALES, Arm, FloatAxis, Plan, Study, check_name, load_study, shipped
from vae.names import OPTIMIZERS


@pytest.fixture
def plan() -> Plan:
    return load_study("depth_study").plan("laptop")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_study_has_every_scale_and_fits_its_tiles(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert set(study.plans) == set(SCALES)
    for scale in SCALES:
        check_plan(study.plan(scale))


def test_a_plan_survives_json(plan: Plan) -> None:
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert [type(axis) for axis in again.axes] == [type(axis) for axis in plan.axes]


def test_every_arm_gets_an_equal_share(plan: Plan) -> None:
    counts = Counter(plan.arm_of(trial).name for trial in range(plan.trials))
    assert len(counts) == 4
    assert set(counts.values()) == {plan.trials // 4}


def test_unequal_depths_join_at_larger_budgets_only(plan: Plan) -> None:
    names = [plan.arm_of(trial).name for trial in range(100)]
    assert "unequal" not in names[:48]
    assert "unequal" in names[48:]


def test_a_pinned_axis_is_searched_no_more(plan: Plan) -> None:
    pinned = plan.with_settings({"optim.lr": 0.5})
    assert pinned.base.optim.lr == 0.5
    assert "optim.lr" not in {axis.path for axis in pinned.axes}


def test_pinning_a_depth_keeps_the_arms_that_have_it(plan: Plan) -> None:
    pinned = plan.with_settings({"model.encoder_depth": 4})
    assert [arm.name for arm in pinned.arms] == ["depth 4", "unequal"]
    assert pinned.arm_of(0).fixed == {"model.decoder_depth": 4}


def test_a_depth_without_an_arm_of_its_own_is_left_to_the_unequal_one(plan: Plan) -> None:
    pinned = plan.with_settings({"model.encoder_depth": 7})
    assert pinned.arm_of(0).name == "unequal"


def test_identity_ignores_where_a_trial_runs_and_nothing_else(plan: Plan) -> None:
    for path, value in {"seed": 7, "threads": 3, "device": "cpu"}.items():
        assert plan.with_settings({path: value}).identity() == plan.identity()
    for path, value in {"epochs": 5, "optim.lr": 0.1, "data.min_std": 1.0, "batch_size": 8}.items():
        assert plan.with_settings({path: value}).identity() != plan.identity()


def test_an_arm_that_no_axis_holds_is_refused(plan: Plan) -> None:
    lr = FloatAxis(path="optim.lr", low=1e-4, high=1e-2, log=True)
    with pytest.raises(ValueError, match="which no axis holds"):
        Plan(base=plan.base, axes=(lr,), arms=plan.arms, trials=1)


def test_too_small_tiles_are_refused_before_anything_runs(plan: Plan) -> None:
    with pytest.raises(UserError, match="cannot be halved"):
        list(
            plan.with_settings({"model.max_downsamples": 2, "model.image_size": 36})
            .with_settings({"model.max_downsamples": 6})
            .configs()
        )


def test_a_study_can_be_a_module_of_the_users(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(
        "from studies.depth_study import STUDY as base\nSTUDY = base.model_copy(update={'name': 'mine'})\n"
    )
    assert load_study(str(module)).name == "mine"
    module.write_text("1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_study(str(module))
    module.write_text("x = 1\n")
    with pytest.raises(UserError, match="defines no STUDY"):
        load_study(str(module))


def test_a_study_with_one_plan_needs_no_scale(plan: Plan) -> None:
    only = Study(name="only", summary="One plan.", plans={"smoke": plan})
    assert default_scale(only, "cpu") == "smoke"
    assert default_scale(load_study("depth_study"), "cpu") == "laptop"


@pytest.mark.parametrize("name", ["a/b", "", "-x", "x" * 101, "a b"])
def test_a_name_that_makes_no_folder_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a study's name"):
        check_name(name)


def test_an_optimizer_that_is_not_installed_is_refused_before_anything_runs(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    literal = OPTIMIZERS.literal

    def missing(name: str, constant: str) -> object:
        if (name, constant) == ("prodigy", "PACKAGE"):
            return "no_such_package_at_all"
        return literal(name, constant)

    monkeypatch.setattr(OPTIMIZERS, "literal", missing)
    check_plan(plan)
    with pytest.raises(UserError, match="needs the package no_such_package_at_all"):
        check_plan(plan.with_settings({"optim.optimizer": "prodigy"}))
    with pytest.raises(UserError, match="no_such_package_at_all"):
        check_plan(load_study("one_run_study").plan("laptop"))


def test_compilation_for_a_processor_without_a_compiler_is_refused_before_anything_runs(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = plan.with_settings({"compile": "default"})
    in_one_arm = plan.model_copy(update={"arms": (Arm(name="compiled", settings={"compile": "default"}),)})
    monkeypatch.setenv("CXX", "no-such-compiler")
    check_plan(plan, "cpu")
    for compiled in (everywhere, in_one_arm):
        with pytest.raises(UserError, match=r"compile=default needs a C\+\+ compiler"):
            check_plan(compiled, "cpu")


def test_a_study_from_a_file_knows_its_module(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from studies.kl_study import STUDY as shipped\nSTUDY = shipped.model_copy()\n")
    assert load_study(str(path)).module == str(path)
    assert load_study("kl_study").module is None


def test_a_setting_that_does_not_exist_is_named_with_the_module(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from studies.base import SMOKE\nfrom sweep import FloatAxis, Plan\n"
        "Plan(base=SMOKE, axes=(FloatAxis(path='optim.lrr', low=1, high=2),), trials=1)\n"
    )
    with pytest.raises(
        UserError, match=rf"^{path}: there is no setting 'optim.lrr'; the nearest is 'optim.lr'$"
    ):
        load_study(str(path))
