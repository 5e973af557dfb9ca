"""The command line: its help, and a user's mistakes, which are one sentence and exit code 2."""

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sweep import __version__
from sweep.cli.options import parse_duration
from sweep.engine.workers import Pool
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.study import load_study
from tests.conftest import run_here, run_module
from vae.stability.labels import LABELS


def _corrupt_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.effect_noise((256, 256), 60).convert("RGB").save(folder / f"{number}.png")
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    return folder


def _refused(home: Path, *words: str) -> str:
    return _one_sentence(run_here(*words, home=home))


def _one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["run", "depth_stdy"], "depth_study"),
        (["run", "depth_study", "--set", "model.latentdim=3"], "model.latent_dim"),
        (["run", "depth_study", "--set", "optim.lr=fast"], "optim.lr"),
        (["run", "depth_study", "--scale", "huge"], "smoke"),
        (["run", "depth_study", "--trials", "0"], "--trials"),
        (["run", "depth_study", "--timeout", "soon"], "30m"),
        (["run", "depth_study", "--budget", "soon"], "--budget"),
        (["run", "depth_study", "--blocks", "0"], "--blocks"),
        (["run", "depth_study", "--blocks", "21"], "20 blocks at most"),
        (["run", "kl_study", "--blocks", "6"], "kl_study has no blocks"),
        (["run", "depth_study", "--device", "cuda:99"], "GPU"),
        (["run", "depth_study", "--nonsense"], "--nonsense"),
        (["run", "nowhere/mine.py"], "nowhere/mine.py"),
        (["status", "depth_study"], "no store"),
        (["frobnicate"], "frobnicate"),
        (["run", "depth_study", "--scale", "smoke", "--name", "a/b"], "letters, digits"),
        (["train", "--scale", "smoke", "--name", "../up"], "letters, digits"),
        (["train", "--scale", "huge"], "smoke"),
        (["foretell", "depth_stdy"], "depth_study"),
        (["foretell", "border_sgd_clip_study", "--scale", "smoke"], "the border is not foretold"),
        (["foretell", "depth_study", "--set", "optim.head_scale=wide"], "optim.head_scale"),
        (
            ["run", "depth_study", "--set", "optim.optimizer=prodigy", "--set", "optim.head_scale=mup"],
            "one for all",
        ),
        (["train", "--scale", "smoke", "--device", "cuda:99"], "GPU"),
        (["train", "--set", "optim.optimizer=sgd", "--set", "optim.clip_norm_relative=1"], "optim.clip_norm"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_what_to_do(tmp_path: Path, words: list[str], names: str) -> None:
    home = tmp_path / "home"
    assert names in _refused(home, *words)
    assert not home.exists()


def test_the_border_of_every_arm_and_column_is_foretold_without_a_run(tmp_path: Path) -> None:
    for study, names in (
        ("clip_study", [arm.name for arm in load_study("clip_study").plan("smoke").arms]),
        ("border_study", ["depth 2, halvings 4, width 8", "depth 4, halvings 4, width 8"]),
    ):
        done = run_here("foretell", study, "--scale", "smoke", "--json", home=tmp_path)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["arms"]
        assert [row["name"] for row in rows][: len(names)] == names
        for border in (row["borders"][label] for row in rows for label in LABELS):
            assert 1e-4 < border["low"] < border["lr"] < border["high"] < 1
        assert all(row["borders"]["blowup"]["lr"] < row["borders"]["nonfinite"]["lr"] for row in rows)
    deep = {row["name"]: row["borders"]["nonfinite"]["lr"] for row in rows}
    assert deep["depth 2, halvings 4, width 8"] < deep["depth 4, halvings 4, width 8"]
    assert "head fan-in" in run_here("foretell", "border_study", "--scale", "smoke", home=tmp_path).stdout
    assert not (tmp_path / "optuna.db").exists()


def test_a_shell_sees_the_sentence_on_stderr_and_exit_code_2(tmp_path: Path) -> None:
    done = run_module("sweep", "run", "depth_stdy", home=tmp_path / "home")
    assert "depth_study" in _one_sentence(done)
    assert done.stdout == ""


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    message = _refused(tmp_path / "home", "run", "depth_study", "--scale", "smoke", "--data", str(empty))
    assert str(empty) in message


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    folder = _corrupt_folder(tmp_path)
    message = _refused(tmp_path / "home", "run", "depth_study", "--scale", "smoke", "--data", str(folder))
    assert "1.png" in message


def test_a_refused_run_does_not_wait_until_its_workers_have_imported_everything(tmp_path: Path) -> None:
    with Pool(Home(tmp_path / "home"), placing=[""], threads=1) as pool:
        (worker,) = pool.live
    assert worker.process.returncode == -signal.SIGKILL


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = _refused(tmp_path / "file" / "home", "run", "depth_study", "--scale", "smoke")
    assert "SWEEP_HOME" in message


def test_a_store_that_is_no_store_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "optuna.db").write_text("not a database, and long enough not to be taken for an empty one" * 20)
    assert "optuna.db" in _refused(home, "status", "depth_study")


def test_help_answers_in_half_a_second_of_processor_time() -> None:
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "sweep", "--help"], check=True, capture_output=True)
        after = os.times()
        seconds.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert statistics.median(seconds) < 0.5


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = run_here("run", "depth_study", "--dry-run", home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert "optim.lr" in done.stdout
    assert not (tmp_path / "home").exists()


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = run_here("--version", home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


def test_durations_are_read() -> None:
    assert [parse_duration(text) for text in ("90s", "30m", "2h", "5")] == [90, 1800, 7200, 5]
    for text in ("soon", "0", "-3m", "3d"):
        with pytest.raises(UserError, match="not a duration"):
            parse_duration(text)
