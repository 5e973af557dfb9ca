"""Features from a file of the user's."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data_io import BatchLoader
from sweep.errors import UserError
from sweep.study import load_study
from vae.config import TrainConfig
from vae.kinds import file_sha256
from vae.quality import measure
from vae.quality.custom import check_features, custom_metrics
from vae.training.fit import fit


class Pooled(nn.Module):
    """A file's network: it resizes by itself, as those of others do."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.interpolate(x, size=(8, 8), mode="bilinear", antialias=True).flatten(1)


class Whole(nn.Module):
    """Returns no row per image."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Nan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * float("nan")


def saved(module: nn.Module, path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.rand(2, 3, 32, 32)), path)  # type: ignore[no-untyped-call]
    return str(path)


def checked(path: str) -> None:
    check_features(path, file_sha256(path, "quality_features"), 32)


def test_the_metrics_are_of_the_files_features_in_0_to_1(
    tmp_path: Path, make_tiles: Callable[..., Tensor]
) -> None:
    path = saved(Pooled(), tmp_path / "pooled.pt")
    metrics = custom_metrics(path, file_sha256(path, "quality_features"))
    assert set(metrics) == {"kid_custom", "density_custom", "coverage_custom"}
    real, same, dark = make_tiles(30), make_tiles(30, seed=1), make_tiles(30, seed=1) // 2
    rows, _ = metrics["kid_custom"].features(real, same, 0)
    assert torch.allclose(rows, Pooled()(real / 255))
    near, far = (measure(real, x, metrics=metrics, bootstrap=20) for x in (same, dark))
    assert far["kid_custom"].value > far["kid_custom"].floor_high > near["kid_custom"].value
    assert far["coverage_custom"].value < near["coverage_custom"].value


def test_a_run_measures_them_and_its_record_has_the_hash(
    tmp_path: Path, small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]
) -> None:
    path = saved(Pooled(), tmp_path / "pooled.pt")
    config = small(epochs=1, quality_draws=3, quality_features=path)
    assert config.quality_features_sha256 == file_sha256(path, "quality_features")
    test = make_tiles(24, seed=2)
    result = fit(config, BatchLoader(make_tiles(40), 8, 0), make_tiles(12, seed=1), test=test)
    for name in ("kid", "density", "coverage"):
        assert {f"quality/{name}_custom", f"quality/{name}_custom_floor"} <= result.summary.keys()
    saved(Pooled(2.0), tmp_path / "pooled.pt")
    custom_metrics.cache_clear()  # as in another process
    with pytest.raises(ValueError, match="have changed since the run was begun"):
        fit(config, BatchLoader(make_tiles(40), 8, 0), make_tiles(12, seed=1), test=test)


def test_a_config_without_them_is_written_as_before_there_were_any() -> None:
    config = TrainConfig()
    assert not [name for name in config.model_dump(mode="json") if "features" in name]
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    plan = load_study("depth_study").plan("smoke")
    assert not [name for name in plan.identity() if "features" in name]
    assert "features" not in plan.model_dump_json()


def test_a_study_is_told_apart_by_the_files_content_and_not_by_its_place(tmp_path: Path) -> None:
    plan = load_study("depth_study").plan("smoke")
    first, copy, other = (tmp_path / name for name in ("first.pt", "copy.pt", "other.pt"))
    saved(Pooled(), first)
    copy.write_bytes(first.read_bytes())
    saved(Pooled(2.0), other)
    one, same, another = (plan.with_settings({"quality_features": str(p)}) for p in (first, copy, other))
    assert one.identity() == same.identity()
    assert one.identity() != another.identity() != plan.identity()
    assert one.with_settings({"quality_features": str(other)}).identity() == another.identity()
    assert one.with_settings({"quality_features": None}).identity() == plan.identity()
    stored = type(plan).model_validate_json(one.model_dump_json())
    first.unlink()
    assert stored.identity() == one.identity()
    json.dumps(one.identity())


@pytest.mark.parametrize(
    ("module", "message"),
    [(Whole(), r"gives \(2, 3, 32, 32\) for 2 tiles, where \(2, D\) is wanted"), (Nan(), "not finite")],
    ids=["no rows", "nan"],
)
def test_features_of_a_wrong_shape_are_refused(tmp_path: Path, module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(saved(module, tmp_path / "wrong.pt"))


def test_a_missing_file_and_one_that_is_no_module_are_refused_in_a_sentence(tmp_path: Path) -> None:
    plan = load_study("depth_study").plan("smoke")
    with pytest.raises(UserError, match=r"nowhere\.pt cannot be read \(No such file or directory\)"):
        plan.with_settings({"quality_features": str(tmp_path / "nowhere.pt")})
    weights = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(2)}, weights)
    with pytest.raises(ValueError, match="is no TorchScript module") as found:
        checked(str(weights))
    assert "\n" not in str(found.value)


def test_a_module_for_another_size_says_which_tiles_it_fails_on(tmp_path: Path) -> None:
    path = saved(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)), tmp_path / "fixed.pt")
    checked(path)
    with pytest.raises(ValueError, match=r"fails on tiles of shape \(2, 3, 64, 64\)") as found:
        check_features(path, file_sha256(path, "quality_features"), 64)
    assert "\n" not in str(found.value)
