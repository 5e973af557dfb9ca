"""`info` of many images is short."""

from pathlib import Path

import pytest

from data_io import DataConfig
from data_io.__main__ import main
from data_io.tiles.cache import find_or_cut
from data_io.tiles.show import LINES, OTHERS, folders_of
from tests.data_io.pictures import picture, save


@pytest.mark.parametrize(
    ("folders", "shown"),
    [
        (["."], ["."]),
        ([f"class{number}" for number in range(3)], [f"class{number}" for number in range(3)]),
        (["a/b/c", "a/b/d", "a/e"], ["a/b/c", "a/b/d", "a/e"]),
        ([f"a/{number}" for number in range(30)], ["a"]),
        ([f"{number:02d}" for number in range(30)], [f"{number:02d}" for number in range(19)] + [OTHERS]),
    ],
)
def test_totals_are_by_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: list[str], shown: list[str]
) -> None:
    each = -(-30 // len(folders))
    for seed, folder in enumerate(folders):
        for number in range(each):
            save(tmp_path / "s" / folder / f"{number}.png", picture(100 * seed + number, 16, 16))
    options = ["--tile", "16", "--cache", str(tmp_path / "cache")]
    assert main(["info", str(tmp_path / "s"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 30
    assert [line.split()[0] for line in lines[1 : 1 + len(shown)]] == shown
    assert lines[1 + len(shown)].split()[:2] == ["all", str(each * len(folders))]
    counts = [int(line.split()[1]) for line in lines[1 : 1 + len(shown)]]
    assert sum(counts) == each * len(folders)
    assert main(["info", str(tmp_path / "s"), *options, "--verbose"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= each * len(folders)


def test_few_images_are_listed(small: DataConfig, tmp_path: Path) -> None:
    scenes = find_or_cut(small, tmp_path).record.scenes
    assert len(scenes) <= LINES
    assert list(folders_of(scenes)) == ["."]
