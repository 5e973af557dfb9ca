"""A network's config by its kind, and what of it is stored."""

import importlib
import sys
from pathlib import Path

import pytest

from tests.vae import networks
from vae.config import ModelConfig, TrainConfig
from vae.model.network import build_model
from vae.model_config import StoredNetworkConfig, network_config


def test_ours_is_stored_as_it_was_before_there_were_others() -> None:
    tree = TrainConfig().model_dump(mode="json")["model"]
    assert not {"kind", "kind_sha256"} & tree.keys()
    assert network_config(tree) == network_config({**tree, "kind": "vae"}) == ModelConfig()


def test_the_config_is_the_class_of_the_network_and_comes_back_from_json(tmp_path: Path) -> None:
    kind = networks.write(tmp_path)
    config = TrainConfig.model_validate({"model": networks.model(kind, channels=4)})
    assert type(config.model).__qualname__ == "Net.Config"
    assert config.model.model_dump()["channels"] == 4
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValueError, match=r"model\.channels"):
        TrainConfig.model_validate({"model": networks.model(kind, channels=0)})
    with pytest.raises(ValueError, match=r"model\.base_channels"):
        TrainConfig.model_validate({"model": networks.model(kind, base_channels=4)})


def test_a_path_means_the_same_file_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = networks.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert network_config({"kind": "mine.py:Net"}) == network_config({"kind": kind})


def test_a_changed_file_is_another_network_and_what_was_stored_stays_readable(tmp_path: Path) -> None:
    """As it is where the file is gone; neither can be built."""
    kind = networks.write(tmp_path)
    before = network_config(networks.model(kind, channels=4))
    networks.write(tmp_path, networks.GOOD + "# changed\n")
    assert network_config(networks.model(kind)).kind_sha256 != before.kind_sha256
    for gone in (False, True):
        if gone:
            (tmp_path / "mine.py").unlink()
        stored = network_config(before.model_dump(mode="json"))
        assert isinstance(stored, StoredNetworkConfig)
        assert stored.model_dump(mode="json") == before.model_dump(mode="json")
        with pytest.raises(ValueError, match="cannot be read" if gone else "has changed since"):
            build_model(stored, seed=0)


def test_a_module_that_can_be_imported_is_named_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.write(tmp_path, name="my_installed_networks.py")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    config = network_config({"kind": "my_installed_networks:Net"})
    assert config.kind == "my_installed_networks:Net"
    assert config.kind_sha256
    del sys.modules["my_installed_networks"]


def test_a_network_file_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    networks.write(tmp_path, name="blocks_beside_it.py")
    kind = networks.write(tmp_path, "from blocks_beside_it import Net\n")
    assert network_config({"kind": kind}).kind == kind


def test_ours_and_theirs_are_told_apart_by_class_and_kind_alike() -> None:
    with pytest.raises(ValueError, match=r"vae\.network_config makes one"):
        TrainConfig(model=StoredNetworkConfig())


def test_head_scale_is_refused_where_the_head_is_not_known(tmp_path: Path) -> None:
    kind = networks.write(tmp_path)
    with pytest.raises(ValueError, match=r"optim\.head_scale=mup.*mine\.py:Net"):
        TrainConfig.model_validate({"model": networks.model(kind), "optim": {"head_scale": "mup"}})
