"""Images read in strips with GDAL give the same tiles as images decoded whole, and the same failures."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from data_io import DataConfig, DataError
from data_io.images import files
from data_io.images.files import decode, open_raster
from data_io.images.raster import ArrayRaster
from data_io.sources.sample import SAMPLE_FOLDER
from data_io.tiles.cache import find_or_cut
from data_io.tiles.splits import SPLITS

ESA: dict[str, Any] = {"tile_size": (192, 192), "num_resolutions": 5, "irreversible": False}


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """500 x 700 pixels of a bundled scene, which are not a multiple of a tile, a block or a strip."""
    with Image.open(SAMPLE_FOLDER / "virginia_coast.png") as bundled:
        return bundled.convert("RGB").crop((600, 900, 1300, 1400))


@pytest.fixture
def by_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WHOLE_PIXELS", 0)


def read(path: Path, step: int = 77) -> NDArray[np.uint8]:
    with closing(open_raster(path)) as image:
        tops = range(0, image.height, step)
        return np.concatenate([image.rows(top, min(top + step, image.height)) for top in tops])


@pytest.mark.usefixtures("by_strips")
@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "tiff_adobe_deflate"}),
        ("a.jp2", {"irreversible": False}),
        ("a.jp2", ESA),
        ("a.jp2", {"tile_size": (256, 256), "irreversible": True}),
        ("a.jp2", {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}),
    ],
)
def test_strips_are_the_rows_of_the_whole(
    tmp_path: Path, scene: Image.Image, name: str, save: dict[str, Any]
) -> None:
    scene.save(tmp_path / name, **save)
    with closing(open_raster(tmp_path / name)) as image:
        assert not isinstance(image, ArrayRaster)
    np.testing.assert_array_equal(read(tmp_path / name), decode(tmp_path / name))
    np.testing.assert_array_equal(read(tmp_path / name, step=1000), decode(tmp_path / name))


@pytest.mark.parametrize("settings", [{}, {"stride": 24}, {"mode": "resize", "block_tiles": 1}])
def test_tiles_splits_and_hash_do_not_depend_on_how_images_are_read(
    tmp_path: Path, scene: Image.Image, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    (tmp_path / "images").mkdir()
    for name, save in (("a.png", {}), ("b.jp2", ESA), ("c.tif", {"compression": "tiff_lzw"})):
        scene.save(tmp_path / "images" / name, **save)
    config = DataConfig(
        **{"source": str(tmp_path / "images"), "tile_size": 32, "block_tiles": 2, "gap": 5} | settings
    )
    whole = find_or_cut(config, tmp_path / "whole")
    monkeypatch.setattr(files, "WHOLE_PIXELS", 0)
    strips = find_or_cut(config, tmp_path / "strips")
    assert strips.record == whole.record  # it holds the hash, the counts and the origins
    for split in SPLITS:
        assert len(whole.tiles[split])
        np.testing.assert_array_equal(strips.tiles[split], whole.tiles[split])


def _turned(scene: Image.Image, path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = 6
    scene.save(path, tiffinfo=tags)


def _sycc(scene: Image.Image, path: Path) -> None:
    scene.save(path, irreversible=False)
    content = bytearray(path.read_bytes())
    box = content.find(b"colr\x01")
    assert content[box + 7 : box + 11] == b"\0\0\0\x10"
    content[box + 10] = 18
    path.write_bytes(content)


@pytest.mark.usefixtures("by_strips")
@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("grey.png", lambda scene, path: scene.convert("L").save(path)),
        ("grey.jp2", lambda scene, path: scene.convert("L").save(path)),
        ("palette.tif", lambda scene, path: scene.convert("P").save(path)),
        ("clear.png", lambda scene, path: scene.save(path, transparency=scene.getpixel((0, 0)))),
        ("alpha.tif", lambda scene, path: scene.convert("RGBA").save(path)),
        ("lossy.tif", lambda scene, path: scene.save(path, compression="jpeg")),
        ("photo.jpg", lambda scene, path: scene.save(path)),
        ("cmyk.tif", lambda scene, path: scene.convert("CMYK").save(path)),
        ("bare.j2k", lambda scene, path: scene.save(path)),
        ("turned.tif", _turned),
        ("sycc.jp2", _sycc),
    ],
)
def test_what_two_decoders_may_read_differently_is_decoded_whole(
    tmp_path: Path, scene: Image.Image, name: str, save: Callable[[Image.Image, Path], None]
) -> None:
    save(scene, tmp_path / name)
    with closing(open_raster(tmp_path / name)) as image:
        assert isinstance(image, ArrayRaster)
    np.testing.assert_array_equal(read(tmp_path / name), decode(tmp_path / name))


@pytest.mark.usefixtures("by_strips")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jp2"])
def test_a_file_cut_short_is_refused_when_read_in_strips_too(
    tmp_path: Path, scene: Image.Image, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    scene.save(tmp_path / name, **(ESA if name == "a.jp2" else {}))
    content = (tmp_path / name).read_bytes()
    for share in np.linspace(0, 0.999, 12):
        (tmp_path / name).write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"a\.\w+ cannot be read"):
            read(tmp_path / name)
    assert capfd.readouterr().err == ""  # the decoder's message is in the sentence, and nowhere else


@pytest.mark.usefixtures("by_strips")
def test_only_the_file_itself_is_opened(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "a.tif")
    expected = read(tmp_path / "a.tif")
    Image.new("L", scene.size).save(tmp_path / "a.tif.msk", "TIFF")
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><PAMRasterBand band='1'/></PAMDataset>")
    (tmp_path / "a.tfw").write_text("nonsense")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.tif.msk", "a.tif.aux.xml", "a.tfw"}


@pytest.mark.usefixtures("by_strips")
@pytest.mark.parametrize("name", ["a b?.png", "http:x!y.png", "%31.png", "é*[1].png"])
def test_a_name_is_never_taken_for_an_address(tmp_path: Path, scene: Image.Image, name: str) -> None:
    scene.save(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), np.asarray(scene))
