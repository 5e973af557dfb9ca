"""Bad images stop all, or are skipped, counted and named; the tiles are then those of the others."""

from pathlib import Path

import numpy as np
import pytest

from data_io import DataConfig, DataError, prepare
from data_io.tiles import cache
from data_io.tiles.cache import find_or_cut
from data_io.tiles.splits import SPLITS
from tests.data_io.pictures import picture, save


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Eight sound images, one cut short in the middle, one that is none, one too small."""
    for number in range(8):
        save(tmp_path / "s" / f"{number}.png", picture(number, 64, 64))
    broken = save(tmp_path / "s" / "broken.png", picture(9, 200, 200))
    broken.write_bytes(broken.read_bytes()[:-400])
    (tmp_path / "s" / "page.png").write_text("<html>")
    save(tmp_path / "s" / "tiny.png", picture(10, 16, 64))
    return tmp_path / "s"


@pytest.mark.parametrize("stretch", [None, "2,98"])
def test_skipped_images_are_named_and_the_tiles_are_those_of_the_others(
    mixed: Path, tmp_path: Path, stretch: str | None
) -> None:
    config = DataConfig(
        source=str(mixed), skip_bad=True, stretch=stretch, min_std=0, tile_size=32, block_tiles=2
    )
    entry = find_or_cut(config, tmp_path / "cache")
    assert sorted(entry.skipped()) == ["broken.png", "page.png", "tiny.png"]
    assert any(note.startswith("skipped: 3 bad images (") for note in entry.notes())
    assert [scene.name for scene in entry.record.scenes] == [f"{number}.png" for number in range(8)]
    for name in entry.skipped():
        (mixed / name).unlink()
    sound = find_or_cut(config, tmp_path / "cache")
    assert sound.record.origins == entry.record.origins
    for split in SPLITS:
        np.testing.assert_array_equal(sound.tiles[split], entry.tiles[split])


def test_a_file_that_may_not_be_opened_is_skipped_too(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_io.sources.file import FileImage

    honest = FileImage.digest

    def digest(image: FileImage) -> str:
        if image.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return honest(image)

    monkeypatch.setattr(FileImage, "digest", digest)
    with pytest.raises(DataError, match=r"3\.png cannot be read \(Permission denied\)"):
        find_or_cut(DataConfig(source=str(mixed)), tmp_path / "cache")
    entry = find_or_cut(DataConfig(source=str(mixed), skip_bad=True), tmp_path / "cache")
    assert "3.png" in entry.skipped()


def test_python_is_told_once(mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache._said.clear()
    config = DataConfig(source=str(mixed), skip_bad=True, exclude="7.png")
    tiles = prepare(config, tmp_path / "cache")
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == list(tiles.notes)
    assert any("excluded by data.exclude" in note for note in tiles.notes)
    prepare(config, tmp_path / "cache")
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == len(told)
