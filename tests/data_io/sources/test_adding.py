"""A kind of source is one new file: with it, a stack of images works like any other source."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import data_io
from data_io import DataConfig, DataError, prepare, sources
from data_io.sources import SourceImage, find_source, list_images
from data_io.tiles.splits import SPLITS

STACK = '''
"""A stack of images in one .stack file, laid out as a .npy, (n, height, width, 3) uint8."""

from data_io.errors import DataError
from data_io.sources import ImageSource, SourceImage, path_of


class StackImage(SourceImage):
    def open(self):
        import numpy as np
        from data_io.images.raster import ArrayRaster

        return ArrayRaster(np.load(self.file, mmap_mode="r")[int(self.part)])


class Source(ImageSource):
    credit = "From a stack"

    @classmethod
    def claims(cls, source):
        return source.endswith(".stack") and path_of(source).is_file()

    def list_images(self):
        import numpy as np

        path = path_of(self.source)
        stack = np.load(path, mmap_mode="r")
        if stack.ndim != 4 or stack.shape[3] != 3 or stack.dtype != np.uint8:
            raise DataError(f"{path} is not a stack (n, height, width, 3) of uint8: convert it")
        return [StackImage(f"{row:06d}", path, str(row)) for row in range(len(stack))]
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules in a folder that is added to the package's path, as a plugin would do it."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "stack.py").write_text(STACK)
    (folder / "_helper.py").write_text("raise AssertionError")
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])
    yield
    sys.modules.pop("data_io.sources.stack", None)
    vars(sources).pop("stack", None)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    save(tmp_path / "stack.stack", pixels())
    return tmp_path / "stack.stack"


def pixels() -> NDArray[np.uint8]:
    """24 images of 2 x 3 tiles of 16 px."""
    return np.random.default_rng(0).integers(1, 256, (24, 32, 48, 3), dtype=np.uint8)


def save(path: Path, images: NDArray[np.uint8]) -> None:
    with path.open("wb") as file:
        np.save(file, images)
    os.utime(path, (1_000_000_000, 1_000_000_000))


def config(stack: Path) -> DataConfig:
    return DataConfig(source=str(stack), tile_size=16)


@pytest.mark.usefixtures("plugin")
def test_tiles_are_the_pixels_of_the_stack(stack: Path, tmp_path: Path) -> None:
    tiles = prepare(config(stack), tmp_path / "cache")
    images = pixels()
    assert sum(len(tiles.origins[split]) for split in SPLITS) == 24 * 6
    for split in SPLITS:
        for tile, (scene, y, x) in zip(getattr(tiles, split), tiles.origins[split], strict=True):
            ground = images[int(tiles.scenes[scene].name), y : y + 16, x : x + 16]
            np.testing.assert_array_equal(tile.numpy(), ground.transpose(2, 0, 1))
    assert tiles.summary()["credit"] == "From a stack"


@pytest.mark.usefixtures("plugin")
def test_the_hash_follows_the_pixels_and_not_the_place_of_the_file(stack: Path, tmp_path: Path) -> None:
    first = prepare(config(stack), tmp_path / "cache").content_hash
    shutil.copy(stack, tmp_path / "copy.stack")
    assert prepare(config(tmp_path / "copy.stack"), tmp_path / "cache").content_hash == first
    changed = pixels()
    changed[7, 0, 0, 0] ^= 1
    save(stack, changed)
    assert prepare(config(stack), tmp_path / "cache").content_hash != first


@pytest.mark.usefixtures("plugin")
def test_a_row_of_an_unchanged_stack_is_read_once(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_io.tiles import digests

    monkeypatch.setattr(digests.time, "time_ns", lambda: stack.stat().st_ctime_ns + 10**10)
    read: list[str] = []
    honest = SourceImage.digest
    monkeypatch.setattr(SourceImage, "digest", lambda image: read.append(image.part) or honest(image))
    images = list_images(str(stack))
    first = digests.image_facts(images, tmp_path / "cache")
    assert len(set(first.values())) == len(read) == 24
    assert digests.image_facts(images, tmp_path / "cache") == first
    assert len(read) == 24


@pytest.mark.usefixtures("plugin")
def test_mistakes_name_the_file_and_the_row(stack: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stack\.stack\[0\] is 48 x 32 pixels, smaller than a tile of 64"):
        prepare(DataConfig(source=str(stack)), tmp_path / "cache")
    save(stack, pixels()[0])
    with pytest.raises(DataError, match=r"stack\.stack is not a stack"):
        prepare(config(stack), tmp_path / "cache")


@pytest.mark.usefixtures("plugin")
def test_the_other_kinds_keep_what_is_theirs(stack: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    found = {source: type(find_source(source)).__module__ for source in ("sample", str(tmp_path))}
    found |= {path.name: type(find_source(str(path))).__module__ for path in (stack, tmp_path / "x.png")}
    assert [name.rpartition(".")[2] for name in found.values()] == ["sample", "folder", "stack", "file"]


def test_a_file_beside_the_others_is_all_that_the_command_line_needs(stack: Path, tmp_path: Path) -> None:
    package = tmp_path / "site" / "data_io"
    shutil.copytree(Path(data_io.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def info() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "data_io", "info", str(stack), "--tile", "16", "--json"]
        environment = os.environ | {
            "PYTHONPATH": str(tmp_path / "site"),
            "SWEEP_HOME": str(tmp_path / "home"),
        }
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    before = info()
    assert (before.returncode, before.stdout) == (2, "")
    assert "stack.stack is not a PNG, JPEG, TIFF" in before.stderr
    (package / "sources" / "stack.py").write_text(STACK)
    after = info()
    assert (after.returncode, after.stderr) == (0, "")
    summary = json.loads(after.stdout)
    assert len(summary["scenes"]) == 24
    assert summary["tiles"]["total"] == 24 * 6
    assert summary["credit"] == "From a stack"
