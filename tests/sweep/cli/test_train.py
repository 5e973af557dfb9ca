"""`sweep train`: one run with the stable preset, recorded like any trial."""

import json
import shlex
import subprocess
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
from tests.conftest import run_module

SMOKE = ("train", "--scale", "smoke", "--set", "threads=1")


def _train(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_module("sweep", *SMOKE, *words, home=home)


def _trials(home: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{home / 'optuna.db'}").get_trials()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with one run, and what it said."""
    home = tmp_path_factory.mktemp("train") / "home"
    done = _train(home)
    assert done.returncode == 0, done.stderr
    return home, done.stdout


def test_a_run_says_why_it_is_stable_and_ends_with_a_model(trained: tuple[Path, str]) -> None:
    home, said = trained
    (trial,) = _trials(home, "train")
    assert "10 tanh(lv / 10)" in said
    assert f"objective: {trial.values[0]:.2f}" in said
    assert f"log-variance of the run: {trial.user_attrs['stability/max_logvar']:.1f}" in said
    with Image.open(home / "checkpoints/train/0/samples.png") as samples:
        assert samples.size[0] > 8 * 32
    (command,) = (line.strip() for line in said.splitlines() if "python -m sweep run" in line)
    shown = run_module(*shlex.split(command.removeprefix("python -m ")), "--dry-run", home=home)
    assert shown.returncode == 0, shown.stderr
    assert "searched: optim.lr" in shown.stdout
    assert "searched: model.encoder_depth" in shown.stdout
    report = json.loads(run_module("sweep", "report", "train", "--json", home=home).stdout)
    again = shlex.split(report["overview"]["commands"]["run the study on"].removeprefix("python -m "))
    assert run_module(*again, "--dry-run", home=home).returncode == 0
    status = run_module("sweep", "status", "train", "--json", home=home)
    assert json.loads(status.stdout)["best"]["trial"] == 0


def test_the_same_command_trains_another_and_other_settings_get_a_name_of_their_own(
    trained: tuple[Path, str],
) -> None:
    home, _ = trained
    assert _train(home).returncode == 0
    assert _train(home, "--set", "optim.lr=0.002").returncode == 0
    assert [trial.user_attrs["seed"] for trial in _trials(home, "train")] == [0, 1]
    assert len(_trials(home, "train-2")) == 1


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


def test_under_sgd_a_given_lr_is_used_with_clipping(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert _train(home, "--set", "optim.optimizer=sgd", "--set", "optim.lr=0.01").returncode == 0
    (trial,) = _trials(home, "train")
    assert trial.user_attrs["clip/norm"] == 1.0
    assert "lr/border" not in trial.user_attrs


def test_under_sgd_the_lr_is_a_share_of_the_border(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = _train(home, "--set", "optim.optimizer=sgd", "--set", "epochs=12")
    assert done.returncode == 0, done.stderr
    (trial,) = _trials(home, "train")
    assert f"{trial.user_attrs['lr/border']:.2g}" in done.stdout
    assert trial.user_attrs["lr/border_search_steps"] > 0


def test_a_run_that_diverges_is_a_failure(tmp_path: Path) -> None:
    done = _train(
        tmp_path / "home",
        "--set",
        "optim.lr=100",
        "--set",
        "optim.lr_warmup_fraction=0",
        "--set",
        "model.logvar_bound=none",
    )
    assert done.returncode == 1
    assert "the run ended as" in done.stderr.splitlines()[-1]


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
    done = _train(home, "--data", str(folder), "--set", "data.mode=resize", "--set", "epochs=40")
    assert done.returncode == 0, done.stderr
    (trial,) = _trials(home, "train")
    assert trial.user_attrs["val/best_recon_loss"] < trial.user_attrs["border/mean_image_loss"]
