"""Settings by dotted path."""

import pytest

from sweep.errors import UserError
from sweep.study.config import TrialConfig, check_path, flatten, parse_settings, paths, with_settings


def test_every_path_of_the_flat_config_can_be_set() -> None:
    config = TrialConfig()
    flat = flatten(config.model_dump())
    later = {"quality_features", "quality_features_sha256"}  # written where they are set
    theirs = {"model.kind", "model.kind_sha256"}  # written of a network that is not ours
    assert set(flat) == set(paths()) - later - theirs
    assert with_settings(config, dict.fromkeys(later)) == config
    assert with_settings(config, {"model.kind": "vae"}) == config
    for path, value in flat.items():
        assert with_settings(config, {path: value}) == config


def test_a_misspelt_path_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"latentdim.*model\.latent_dim"):
        check_path("model.latentdim")


@pytest.mark.parametrize(
    ("text", "value"),
    [("epochs=3", 3), ("optim.lr=1e-3", 1e-3), ("optim.clip=norm", "norm"), ("data.flip=true", True)],
)
def test_values_are_read_as_json_where_they_are_json(text: str, value: object) -> None:
    assert parse_settings([text]) == {text.partition("=")[0]: value}


def test_a_setting_without_equals_is_refused() -> None:
    with pytest.raises(UserError, match="no '='"):
        parse_settings(["epochs"])


@pytest.mark.parametrize("path", ["data.tile_size", "model.image_size"])
def test_tile_and_image_size_follow_each_other(path: str) -> None:
    config = with_settings(TrialConfig(), {path: 32})
    assert (config.data.tile_size, config.model.image_size) == (32, 32)


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="must be equal"):
        with_settings(TrialConfig(), {"data.tile_size": 32, "model.image_size": 64})


def test_an_impossible_value_is_one_sentence_with_its_path() -> None:
    with pytest.raises(UserError, match=r"optim\.lr=-1 is not possible") as caught:
        with_settings(TrialConfig(), {"optim.lr": -1})
    assert "\n" not in str(caught.value)


def test_a_grid_that_does_not_fit_is_refused_with_its_sizes() -> None:
    with pytest.raises(UserError, match=r"60, 30, 15, 7\.5"):
        with_settings(TrialConfig(), {"model.image_size": 60})
