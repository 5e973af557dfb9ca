"""A network of someone else's in plans: its settings, its axes, and the plane of a border."""

from pathlib import Path

import pytest

from studies.base import SMOKE
from sweep.errors import UserError
from sweep.study import Arm, FloatAxis, IntAxis, Plan, load_study, space_hash
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import with_settings
from tests.vae import networks
from vae.config import ModelConfig
from vae.model_config import StoredNetworkConfig


@pytest.fixture
def kind(tmp_path: Path) -> str:
    return networks.write(tmp_path)


def test_another_network_keeps_what_all_have_and_takes_settings_of_its_own(kind: str) -> None:
    bounded = with_settings(SMOKE, {"model.logvar_bound": "soft"})
    config = with_settings(bounded, {"model.channels": 4, "model.kind": kind})
    assert (config.model.image_size, config.model.logvar_bound) == (32, "soft")
    assert config.model.model_dump()["channels"] == 4
    assert with_settings(config, {"model.code": 3}).model.model_dump()["channels"] == 4
    assert isinstance(with_settings(config, {"model.kind": "vae"}).model, ModelConfig)
    assert with_settings(config, {"model.kind": kind}) == config


def test_a_setting_that_it_has_not_names_the_nearest_that_it_has(kind: str) -> None:
    with pytest.raises(UserError, match=r"no setting 'model\.chanels'; the nearest is 'model\.channels'"):
        with_settings(SMOKE, {"model.kind": kind, "model.chanels": 4})
    with pytest.raises(UserError, match=r"no setting 'model\.base_channels'"):
        with_settings(SMOKE, {"model.kind": kind, "model.base_channels": 4})


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_a_border_study_maps_it_in_one_column(kind: str, scale: str) -> None:
    plan = load_study("border_study").plan(scale).with_settings({"model.kind": kind})
    assert plan.border is not None
    assert plan.border.plane.columns == ((),)
    assert plan.border.plane.name(()) == "the network"
    assert [axis.path for axis in plan.axes] == ["optim.lr"]
    (config,) = plan.configs()
    assert config.model == plan.base.model
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert space_hash(again.identity()) == space_hash(plan.identity())


def test_axes_of_a_plane_that_it_has_are_kept(kind: str) -> None:
    plan = load_study("border_kl_study").plan("smoke").with_settings({"model.kind": kind})
    before = load_study("border_kl_study").plan("smoke")
    assert plan.border == before.border
    assert plan.axes == before.axes


def test_columns_over_its_own_settings(kind: str) -> None:
    base = with_settings(SMOKE, {"model.kind": kind})
    across = Across(name="channels", paths=("model.channels",), values=(4, 8), log=True)
    plan = Plan.for_border(base, BorderPlan(plane=Plane(across=(across,))))
    assert [config.model.model_dump()["channels"] for config in plan.configs()] == [4, 8]


def test_its_settings_are_axes_and_networks_are_arms(kind: str) -> None:
    plan = Plan(
        base=with_settings(SMOKE, {"model.kind": kind}),
        axes=(IntAxis(path="model.channels", low=4, high=8), FloatAxis(path="optim.lr", low=1e-4, high=1e-2)),
        trials=2,
    )
    assert [config.model.model_dump()["channels"] for config in plan.configs()] == [8]
    arms = (Arm(name="ours"), Arm(name="theirs", settings={"model.kind": kind, "model.channels": 4}))
    compared = Plan(base=SMOKE, axes=(FloatAxis(path="optim.lr", low=1e-4, high=1e-2),), arms=arms, trials=2)
    assert [config.model.kind for config in compared.configs()] == ["vae", kind]


def test_a_study_of_what_it_has_not_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match=r"about model\.encoder_depth, which mine\.py:Net has not"):
        load_study("depth_study").plan("smoke").with_settings({"model.kind": kind})


def test_the_same_file_elsewhere_is_the_same_study_and_a_changed_one_is_not(tmp_path: Path) -> None:
    def identity(folder: str, text: str = networks.GOOD) -> str:
        (tmp_path / folder).mkdir()
        kind = networks.write(tmp_path / folder, text)
        return space_hash(
            load_study("border_study").plan("smoke").with_settings({"model.kind": kind}).identity()
        )

    assert identity("here") == identity("there")
    assert identity("changed", networks.GOOD + "# changed\n") != identity("as before", networks.GOOD)


def test_the_plan_of_a_study_whose_network_is_gone_can_be_read(kind: str, tmp_path: Path) -> None:
    plan = Plan(
        base=with_settings(SMOKE, {"model.kind": kind}),
        axes=(IntAxis(path="model.channels", low=4, high=8),),
        trials=2,
    )
    stored = plan.model_dump_json()
    (tmp_path / "mine.py").unlink()
    read = Plan.model_validate_json(stored)
    assert isinstance(read.base.model, StoredNetworkConfig)
    assert read.identity() == plan.identity()
