"""The examples of docs/extending.md, put where their titles say in a copy of the packages, work there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.blocks import ROOT, blocks

PACKAGES = ("vae", "data_io", "sweep", "studies")
FILES = {
    block.title: block.text for block in blocks("python") if block.title and block.page == "docs/extending.md"
}
SETTING_OF = {
    "vae/optim/clipping": "optim.clip",
    "vae/optim/optimizers": "optim.optimizer",
    "vae/optim/lr_schedules": "optim.lr_schedule",
    "vae/optim/controllers": "optim.controller",
    "vae/loss/kl_schedules": "objective.kl_schedule",
    "vae/loss/kl_rules": "objective.kl_rule",
    "vae/loss/likelihoods": "objective.likelihood",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with every titled block of the docs at its path."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in FILES.items():
        (root / path).write_text(text, encoding="utf-8")
    return root


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "SWEEP_HOME": str(tree / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


def added(folder: str) -> list[str]:
    return [Path(path).stem for path in FILES if Path(path).parent.as_posix() == folder]


@pytest.mark.parametrize("folder", SETTING_OF)
def test_the_setting_takes_the_name(tree: Path, folder: str) -> None:
    (name,) = added(folder)
    check = (
        "from studies.base import SMOKE; from sweep.study.config import with_settings;"
        f"with_settings(SMOKE, {{{SETTING_OF[folder]!r}: {name!r}}})"
    )
    done = python(tree, "-c", check)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_one_run_with_all_of_them(tree: Path) -> None:
    """Also a source and a tracker of its own, and a metric that every run has."""
    scene = np.asarray(Image.open(tree / "data_io/scenes/virginia_coast.png").convert("RGB"))
    corners = [(y, x) for y in range(0, 1536, 256) for x in range(0, 1536, 256)]
    with (tree / "sample.stack").open("wb") as file:
        np.save(file, np.stack([scene[y : y + 256, x : x + 256] for y, x in corners]))
    chosen = [f"{path}={added(folder)[0]}" for folder, path in SETTING_OF.items()]
    settings = [word for setting in (*chosen, "optim.lr=3e-4") for word in ("--set", setting)]
    (tracker,) = added("sweep/tracking/trackers")
    command = ("train", "--scale", "smoke", "--data", "sample.stack", "--tracker", tracker, *settings)
    done = python(tree, "-m", "sweep", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FINISHED" in (tree / "home" / tracker / "ended.txt").read_text(encoding="utf-8")
    (row,) = json.loads(python(tree, "-m", "sweep", "export", "train", "--format", "json").stdout)
    for metric in added("vae/quality/metrics"):
        assert isinstance(row[f"quality/{metric}"], float)


@pytest.mark.slow
def test_the_study_runs_by_its_path(tree: Path) -> None:
    (path,) = [path for path in FILES if "/" not in path]
    done = python(tree, "-m", "sweep", "run", path, "--scale", "smoke", "--trials", "3", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.latent_dim" in done.stdout
    # Its own claim has a verdict on each endpoint, after the first look.
    verdicts = [line.split()[0] for line in done.stdout.splitlines() if "Latent size (" in line]
    assert len(verdicts) == 2
    assert set(verdicts) <= {"supported", "contradicted", "inconclusive"}
    assert done.stdout.count("at the look of 6 blocks") == 2
