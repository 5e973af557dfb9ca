"""The command line: what it prints, where it writes, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_io import DataConfig, TileSet, prepare
from data_io.__main__ import main


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "SWEEP_HOME"}
    return subprocess.run(
        [sys.executable, "-m", "data_io", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean | environment,
        check=False,
    )


def test_info_prints_one_json_document_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    done = run("info", "images", "--tile", "16", "--block-tiles", "2", "--gap", "4", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["tiles"]["total"] == 96
    assert [scene["name"] for scene in summary["scenes"]] == ["north.png", "south.png"]
    assert (tmp_path / "mlruns" / "cache").is_dir()


def test_the_cache_lies_under_sweep_home_when_it_is_set(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run("prepare", "images", "--tile", "16", "--block-tiles", "2", cwd=tmp_path, SWEEP_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert len(list((home / "cache").glob("*/train.npy"))) == 1
    assert not (tmp_path / "mlruns").exists()


def test_a_tilde_in_sweep_home_is_the_home_folder(folder: Path, tmp_path: Path) -> None:
    arguments = ("prepare", "images", "--tile", "16", "--block-tiles", "2")
    done = run(*arguments, cwd=tmp_path, SWEEP_HOME="~/runs", HOME=str(tmp_path / "me"))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "me" / "runs" / "cache").glob("*/train.npy"))) == 1
    assert not (tmp_path / "~").exists()


def test_a_mistake_ends_with_code_2_and_one_sentence_on_stderr(tmp_path: Path) -> None:
    done = run("prepare", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["info", "sample", "--tile", "7"],
            "--tile 7 is not valid: input should be greater than or equal to 8",
        ),
        (["info", "sample", "--tile", "x"], "--tile"),
        (
            ["info", "sample", "--mode", "crop"],
            "--mode 'crop' is not valid: input should be 'tile' or 'resize'",
        ),
        (["info", "sample", "--gap", "-1"], "--gap -1 is not valid"),
        (["info", "sample", "--test", "0.9", "--validation", "0.2"], "must sum to less than 1"),
        (["info", "sample", "--tiles", "7"], "No such option"),
        (["info"], "Missing argument"),
        (["prepair", "sample"], "No such command"),
        ([], "Missing command"),
    ],
)
def test_a_bad_option_is_one_sentence_that_names_it(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_every_option_reaches_the_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "--tile": "16",
        "--mode": "tile",
        "--stride": "8",
        "--block-tiles": "2",
        "--gap": "3",
        "--max-nodata": "0.5",
        "--min-std": "2",
        "--validation": "0.2",
        "--test": "0.1",
        "--split-seed": "7",
        "--cache": str(tmp_path / "c"),
    }
    arguments = [part for pair in options.items() for part in pair]
    assert main(["prepare", str(folder), *arguments, "--json"]) == 0
    config = DataConfig(
        source=str(folder),
        tile_size=16,
        stride=8,
        block_tiles=2,
        gap=3,
        max_nodata_fraction=0.5,
        min_std=2,
        validation_fraction=0.2,
        test_fraction=0.1,
        split_seed=7,
    )
    summary = json.loads(capsys.readouterr().out)
    assert summary["cache"] == str(tmp_path / "c")
    assert summary["hash"] == prepare(config, tmp_path / "c").content_hash


def test_info_names_every_scene_the_counts_the_hash_and_the_credit(
    sample_tiles: TileSet, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "sample", "--cache", str(sample_cache)]) == 0
    shown = capsys.readouterr().out
    virginia = sample_tiles.scenes[1]
    for expected in ("1933x1947", str(virginia.featureless), str(len(sample_tiles.train)), "Copernicus"):
        assert expected in shown
    assert sample_tiles.content_hash in shown


def test_prepare_says_what_it_made_and_where(
    sample_tiles: TileSet, sample_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "sample", "--cache", str(sample_cache)]) == 0
    shown = capsys.readouterr().out
    assert f"{len(sample_tiles.train)} train" in shown
    assert str(sample_cache) in shown
    assert sample_tiles.content_hash[:16] in shown


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "prepare" in shown
    assert "info" in shown
