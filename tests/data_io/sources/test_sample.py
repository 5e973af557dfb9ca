"""The bundled scenes and their licence."""

from pathlib import Path

import pytest

from data_io.sources import find_source, list_images
from data_io.sources.sample import SAMPLE, SAMPLE_CREDIT, SAMPLE_FOLDER


def test_the_sample_is_two_scenes_with_their_credit() -> None:
    assert [image.name for image in list_images(SAMPLE)] == ["brandenburg_winter.png", "virginia_coast.png"]
    assert find_source(SAMPLE).credit == SAMPLE_CREDIT
    assert SAMPLE_CREDIT in (SAMPLE_FOLDER / "CREDITS.md").read_text(encoding="utf-8")


def test_a_folder_called_sample_is_reached_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "mine.png").touch()
    assert [image.name for image in list_images("./sample")] == ["mine.png"]
    assert "mine.png" not in [image.name for image in list_images("sample")]
    assert find_source("./sample").credit is None
