"""The examples run as they are, at smoke scale, and do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


def _run(name: str, folder: Path, said: str = "") -> str:
    """What it prints; on stderr there is `said`."""
    environment = os.environ | {"SWEEP_HOME": str(folder / "home"), "EXAMPLE_SCALE": "smoke"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == said
    return done.stdout


@pytest.mark.slow
def test_own_model_space(tmp_path: Path) -> None:
    out = _run("own_model_space.py", tmp_path)
    assert "[4/4] trial" in out  # whichever ends last
    for name in ("latent_sizes_samples.png", "latent_sizes_reconstructions.png"):
        with Image.open(tmp_path / "home" / name) as picture:
            assert picture.width > 100
    assert (tmp_path / "home" / "reports" / "latent_sizes" / "index.html").exists()


def test_one_vae_on_a_folder(tmp_path: Path) -> None:
    # The credits lie beside the scenes.
    said = "left out: 1 of kinds that are not read (.md 1)\n"
    out = _run("one_vae_on_a_folder.py", tmp_path, said)
    assert "tiles for training" in out
    assert "budget: objective" in out
    with Image.open(tmp_path / "home" / "stability.png") as picture:
        assert picture.size == (800, 700)


@pytest.mark.slow
def test_map_a_border(tmp_path: Path) -> None:
    out = _run("map_a_border.py", tmp_path)
    assert "nonfinite  depth 2" in out
    for form in ("json", "html", "png"):
        assert (tmp_path / "home" / "reports" / "my_border" / f"map.{form}").exists()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_fits_on_a_page(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 80
