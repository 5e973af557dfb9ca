"""`sweep train`: one run with the stable preset, recorded like any trial.

Most runs here are of a smaller model than a user's, recorded in files: what they do does not hang on it.
"""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import optuna
import pytest
from PIL import Image, ImageDraw

from sweep.cli.train import HIGH_LOGVAR, logvar_warning, sweep_command
from sweep.engine.options import Options
from sweep.engine.planning import choose_plan
from sweep.study import load_preset
from sweep.study.config import parse_settings
from tests.conftest import run_here

SMOKE = ("train", "--scale", "smoke", "--set", "threads=1", "--tracker", "files")
TINY = ("model.image_size=16", "model.base_channels=4", "model.max_channels=8", "data.tile_size=16")


def _train(home: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    return run_here(*SMOKE, *words, home=home)


def _words(command: str) -> list[str]:
    """Of a command as it is shown, without the program."""
    return shlex.split(command.removeprefix("python -m sweep "))


def _trials(home: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{home / 'optuna.db'}").get_trials()


def _train_once(folder: Path) -> None:
    done = _train(folder / "home")
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)


@pytest.fixture(scope="session")
def trained(made_once: Callable[..., Path]) -> Path:
    """A folder with a home in which one run was trained at smoke scale, and with what it said."""
    return made_once("trained", _train_once)


def test_a_run_says_why_it_is_stable_and_ends_with_a_model(trained: Path) -> None:
    home, said = trained / "home", (trained / "said.txt").read_text()
    (trial,) = _trials(home, "train")
    assert "10 tanh(lv / 10)" in said
    assert f"objective: {trial.values[0]:.2f}" in said
    assert f"log-variance of the run: {trial.user_attrs['stability/max_logvar']:.1f}" in said
    with Image.open(home / "checkpoints/train/0/samples.png") as samples:
        assert samples.size[0] > 8 * 32
    (command,) = (line.strip() for line in said.splitlines() if "python -m sweep run" in line)
    shown = run_here(*_words(command), "--dry-run", home=home)
    assert shown.returncode == 0, shown.stderr
    assert "searched: optim.lr" in shown.stdout
    assert "searched: model.encoder_depth" in shown.stdout
    status = run_here("status", "train", "--json", home=home)
    assert json.loads(status.stdout)["best"]["trial"] == 0


def test_the_report_of_a_run_says_how_to_run_it_on(trained: Path, tmp_path: Path) -> None:
    home = shutil.copytree(trained / "home", tmp_path / "home")
    report = json.loads(run_here("report", "train", "--json", home=home).stdout)
    again = _words(report["overview"]["commands"]["run the study on"])
    assert run_here(*again, "--dry-run", home=home).returncode == 0


def test_the_same_command_trains_another_and_other_settings_get_a_name_of_their_own(
    trained: Path, tmp_path: Path
) -> None:
    """The other settings are SGD's, with a rate: it is used as it is, with clipping."""
    home = shutil.copytree(trained / "home", tmp_path / "home")
    assert _train(home).returncode == 0
    assert _train(home, *TINY, "optim.optimizer=sgd", "optim.lr=0.01").returncode == 0
    assert [trial.user_attrs["seed"] for trial in _trials(home, "train")] == [0, 1]
    (other,) = _trials(home, "train-2")
    assert other.user_attrs["clip/norm"] == 1.0
    assert "lr/border" not in other.user_attrs


def test_the_command_that_sweeps_around_a_run_leaves_open_what_it_searches() -> None:
    study, _ = load_preset()
    settings = {"optim.lr": 0.1, "model.encoder_depth": 2, "data.flip": False}
    scale, plan = choose_plan(study, options := Options(scale="smoke", data="my tiles", settings=settings))
    words = shlex.split(sweep_command("train-3", plan, scale, options))
    assert words[words.index("--data") + 1] == "my tiles"
    assert words[words.index("--name") + 1] == "around_train-3"
    kept = parse_settings([after for word, after in pairwise(words) if word == "--set"])
    assert kept["data.flip"] is False
    assert kept["model.logvar_bound"] == "soft"
    assert not kept.keys() & {"optim.lr", "model.encoder_depth"}


def test_a_high_log_variance_is_reported_with_a_remedy_where_nothing_bounds_it() -> None:
    assert logvar_warning(HIGH_LOGVAR, bounded=False) is None
    assert logvar_warning(HIGH_LOGVAR, bounded=True) is None
    assert "logvar_bound=soft" in str(logvar_warning(HIGH_LOGVAR + 1, bounded=False))
    with_bound = str(logvar_warning(HIGH_LOGVAR + 1, bounded=True))
    assert "it passed 12" in with_bound
    assert "--set" not in with_bound


def test_under_sgd_the_lr_is_a_share_of_the_border(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = _train(home, *TINY, "optim.optimizer=sgd", "epochs=12")
    assert done.returncode == 0, done.stderr
    (trial,) = _trials(home, "train")
    assert f"{trial.user_attrs['lr/border']:.2g}" in done.stdout
    assert trial.user_attrs["lr/border_search_steps"] > 0


def test_a_run_that_diverges_is_a_failure(tmp_path: Path) -> None:
    hot = ("optim.lr=100", "optim.lr_warmup_fraction=0", "model.logvar_bound=none")
    done = _train(tmp_path / "home", *TINY, *hot)
    assert done.returncode == 1
    assert "the run ended as" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_images_of_another_kind_are_reconstructed_better_than_by_their_mean(tmp_path: Path) -> None:
    """Two hundred drawn ones: a gradient of two colours, and a shape in a third."""
    folder, rng = tmp_path / "drawn", np.random.default_rng(0)
    folder.mkdir()
    for number in range(200):
        one, other, third = rng.integers(0, 256, (3, 3))
        share = np.linspace(0, 1, 32)[:, None, None] * np.ones((1, 32, 1))
        image = Image.fromarray((one * (1 - share) + other * share).astype(np.uint8))
        left, top, size = rng.integers(2, 16, 3)
        draw = ImageDraw.Draw(image)
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape([int(left), int(top), int(left + size), int(top + size)], fill=tuple(int(c) for c in third))
        image.save(folder / f"{number:03d}.png")
    home = tmp_path / "home"
    done = _train(home, f"data.source={folder}", "data.mode=resize", "epochs=40")
    assert done.returncode == 0, done.stderr
    (trial,) = _trials(home, "train")
    assert trial.user_attrs["val/best_recon_loss"] < trial.user_attrs["border/mean_image_loss"]
