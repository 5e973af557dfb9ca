"""A finished trial is trained again and is the same, point by point."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.engine.replay import compare
from tests.sweep.conftest import Lab


def _assert_replays(lab: Lab) -> None:
    done = lab.sweep("replay", "tiny", "1", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert found["different"] == {}
    assert found["metrics"] > 25
    assert found["points"] > 100
    lab.tracker().metrics(lab.trials()[1].user_attrs["mlflow_run_id"], [("val/kl", 1e9, 0, 99)])
    changed = lab.sweep("replay", "tiny", "1")
    assert changed.returncode == 1
    assert "val/kl: step 99" in changed.stdout
    missing = lab.sweep("replay", "tiny", "7")
    assert missing.returncode == 2
    assert not (Path(lab.home) / "checkpoints/replay").exists()


def test_a_replay_finds_all_metrics_equal(undisturbed: Lab, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.home, tmp_path / "home")
    lab = Lab.of(tmp_path / "home", SWEEP_TRACKER="files")
    _assert_replays(lab)
    lab.end()


@pytest.mark.slow
def test_a_replay_finds_all_metrics_of_mlflow_equal(labs: Callable[..., Lab]) -> None:
    lab = labs("home", SWEEP_TRACKER="mlflow")
    lab.run("--set", "epochs=5", "--trials", "2", "--workers", "1")
    _assert_replays(lab)


@pytest.mark.parametrize(
    ("now", "different"),
    [
        ({"loss": {0: 1.0, 1: 2.0}}, {}),
        ({"loss": {0: 1.0, 1: 2.5}}, {"loss": (1, 2.0, 2.5)}),
        ({"other": {0: 1.0}}, {}),
    ],
)
def test_points_are_compared_one_by_one(
    now: dict[str, dict[int, float]], different: dict[str, tuple[int, float, float]]
) -> None:
    run = {"loss": {0: 1.0, 1: 2.0}, "time/seconds": {0: 3.0}}
    assert compare(run, now).different == different
