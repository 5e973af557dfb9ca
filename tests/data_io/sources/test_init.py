"""Sources are found by asking each kind, and what every kind promises holds for all of them."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_io import DataError, sources
from data_io.images.header import Header
from data_io.images.raster import ArrayRaster
from data_io.sources import ImageSource, SourceImage, find_source, list_images


@dataclass(frozen=True)
class Grey(SourceImage):
    """An image in memory of one grey level; it relies on all defaults of SourceImage."""

    level: int = 0
    height: int = 4

    def open(self) -> ArrayRaster:
        return ArrayRaster(np.full((self.height, 12 // self.height, 3), self.level, np.uint8))


def use_only(monkeypatch: pytest.MonkeyPatch, *images: SourceImage) -> None:
    class Source(ImageSource):
        @classmethod
        def claims(cls, source: str) -> bool:
            return True

        def list_images(self) -> list[SourceImage]:
            return list(images)

    monkeypatch.setattr(sources.pkgutil, "iter_modules", lambda _: [SimpleNamespace(name="only")])
    monkeypatch.setattr(sources, "import_module", lambda _: SimpleNamespace(Source=Source))


def test_a_missing_path_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or folder") as caught:
        find_source(str(tmp_path / "missing"))
    assert str(tmp_path / "missing") in str(caught.value)


@pytest.mark.parametrize("source", ["~nobody-has-this-name/images", "a\0b", "x" * 5000])
def test_a_path_that_cannot_exist_is_one_sentence_too(source: str) -> None:
    with pytest.raises(DataError):
        list_images(source)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.png").touch()
    (image,) = list_images("~/x.png")
    assert image.file == tmp_path / "x.png"


@pytest.mark.parametrize("name", ["file", "folder", "sample"])
def test_no_kind_claims_what_does_not_exist(name: str, tmp_path: Path) -> None:
    kind = sources.import_module(f"data_io.sources.{name}").Source
    assert issubclass(kind, ImageSource)
    for source in (str(tmp_path / "missing"), "~nobody-has-this-name", "a\0b"):
        assert not kind.claims(source)


def test_the_default_digest_depends_on_the_pixels_and_the_size() -> None:
    here = Path("a")
    same = {Grey("a", here, level=1).digest(), Grey("b", Path("b"), "3", level=1).digest()}
    assert len(same) == 1
    assert len(same | {Grey("a", here, level=2).digest(), Grey("a", here, level=1, height=3).digest()}) == 3


def test_the_default_size_is_that_of_the_open_image() -> None:
    assert Grey("a", Path("a"), height=3).header() == Header(3, 4)


def test_messages_name_the_part_of_a_file() -> None:
    assert str(Grey("a", Path("x.zip"), "a.png")) == "x.zip[a.png]"
    assert str(Grey("a", Path("x.png"))) == "x.png"


def test_images_come_sorted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    use_only(monkeypatch, *(Grey(name, Path(name)) for name in "bca"))
    assert [image.name for image in list_images("x")] == ["a", "b", "c"]


def test_two_images_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_only(monkeypatch, Grey("a", Path("x"), "1"), Grey("b", Path("x"), "2"), Grey("a", Path("x"), "3"))
    with pytest.raises(DataError, match="2 images named a"):
        list_images("x")


def test_a_source_that_lists_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_only(monkeypatch)
    with pytest.raises(DataError, match=r"holds no .* image: put some in"):
        list_images("x.zip")
