"""Bands of any type are shown by number or name, within one stretch, and what holds no data is black."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_io import DataError
from data_io.images.files import decode, inspect, open_bands, open_raster
from data_io.images.gdal import is_alpha
from data_io.images.raster import ArrayBands
from data_io.images.render import Rendered, choose_bands
from tests.data_io.pictures import geotiff, half, picture, save


def test_values_between_the_limits_become_1_to_255_in_order() -> None:
    values = np.arange(0, 4001, 10, dtype=np.uint16).reshape(1, -1, 1)
    shown = Rendered(ArrayBands(values), [1], [(1000, 3000)]).rows(0, 1)[0]
    assert (shown[:, 0] == shown[:, 2]).all()
    assert shown[0, 0] == 0  # nodata
    assert set(shown[1:101, 0]) == {1}  # dark, but not nodata
    assert set(shown[300:, 0]) == {255}
    assert (np.diff(shown[1:, 0].astype(int)) >= 0).all()
    assert shown[200, 0] == 128


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_type_of_real_numbers_gives_the_same_picture(tmp_path: Path, dtype: type) -> None:
    values = picture(1, top=120)
    path = geotiff(tmp_path / "a.tif", values.astype(dtype))
    with closing(open_bands(path)) as bands:
        shown = Rendered(bands, [3, 2, 1], [(20, 100)] * 3).rows(0, 64)
    expected = 1 + 254 * np.clip((values[:, :, ::-1].astype(float) - 20) / 80, 0, 1)
    np.testing.assert_allclose(shown, expected, atol=0.51)


def test_rows_of_bands_are_those_of_the_whole(tmp_path: Path) -> None:
    values = picture(2, 700, 50, bands=5, top=5000, dtype=np.uint16)
    with closing(open_bands(geotiff(tmp_path / "a.tif", values))) as bands:
        whole, _ = bands.read([5, 1], 0, 700)
        part, valid = bands.read([5, 1], 255, 600)
    np.testing.assert_array_equal(whole, np.moveaxis(values, 2, 0)[[4, 0]])
    np.testing.assert_array_equal(part, whole[:, 255:600])
    assert valid.all()


def test_bands_are_named_by_their_description(tmp_path: Path) -> None:
    names = ("B2", "B03", "red", "nir")
    path = geotiff(tmp_path / "a.tif", picture(3, bands=4), names=names)
    with closing(open_bands(path)) as bands:
        assert choose_bands(bands, ("b02", "RED", 4), "a") == (1, 3, 4)
        with pytest.raises(DataError, match=r"a has no band B8, but 4 named B2, B03, red, nir: change"):
            choose_bands(bands, ("B8", 1, 1), "a")


def test_a_pixel_is_nodata_where_all_bands_shown_are(tmp_path: Path) -> None:
    values = picture(4, top=200)
    values[0, 0], values[0, 1], values[0, 2] = (7, 7, 7), (7, 9, 7), (0, 0, 0)
    path = geotiff(tmp_path / "a.tif", values, photometric="RGB", nodata=7)
    values[0, 0] = 0
    np.testing.assert_array_equal(decode(path), values)
    assert inspect(path).reading


@pytest.mark.parametrize(
    ("dtype", "tag", "hidden"),
    [
        (np.uint16, "-9999", None),
        (np.uint16, "65535", 65535),
        (np.uint16, "nan", None),
        (np.float32, "-3.4028234663852886e+38", np.finfo(np.float32).min),
        (np.float32, "-1.7976931348623157e+308", None),
    ],
)
def test_a_tag_hides_its_own_value_and_no_other(
    tmp_path: Path, dtype: type, tag: str, hidden: float | None
) -> None:
    values = np.linspace(1, 65535, 64 * 64).reshape(64, 64).astype(dtype)
    values[0, 0] = 65536 - 9999
    if hidden is not None:
        values[1, 1] = hidden
    path = save(tmp_path / "a.tif", values, tiffinfo={42113: tag})
    with closing(open_bands(path)) as bands:
        _, valid = bands.read([1], 0, 64)
    np.testing.assert_array_equal(valid, values != hidden if hidden is not None else True)


def test_a_tag_of_0_changes_nothing(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif", picture(4), photometric="RGB", nodata=0)
    assert inspect(path).reading == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_and_mask_are_turned_together(tmp_path: Path, orientation: int) -> None:
    pixels = picture(5, 40, 24, top=200)
    pixels[:5, :3] = 201
    plain = save(tmp_path / "plain.tif", pixels, tiffinfo={274: orientation})
    marked = save(tmp_path / "marked.tif", pixels, tiffinfo={274: orientation, 42113: "201"})
    upright = decode(plain).copy()
    upright[(upright == 201).all(axis=2)] = 0
    np.testing.assert_array_equal(decode(marked), upright)
    assert (inspect(marked).height, inspect(marked).width) == upright.shape[:2]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_formats_obey_the_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    pixels = np.repeat(np.repeat(picture(6, 5, 3)[:, :, :1], 16, 0), 16, 1).repeat(3, 2)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(suffix, {})
    path = save(tmp_path / f"a.{suffix}", pixels, exif=exif, **options)
    expected = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(pixels),
    }[orientation]
    np.testing.assert_allclose(decode(path).astype(int), expected, atol=4)
    assert (inspect(path).height, inspect(path).width) == expected.shape[:2]
    with closing(open_raster(path)) as raster:
        np.testing.assert_array_equal(raster.rows(0, raster.height), decode(path))


def test_transparency_is_told_from_near_infrared() -> None:
    colours, smooth = np.moveaxis(picture(7), 2, 0), picture(8, bands=1)[:, :, 0]
    right = half(64, 64)
    assert is_alpha(right * np.uint8(255), colours)
    assert is_alpha(np.full((64, 64), 128, np.uint8), colours)
    assert is_alpha(np.zeros((64, 64), np.uint8), colours)
    assert is_alpha(smooth * right, colours * right)  # soft edges over a single colour
    assert not is_alpha(smooth, colours)
    assert not is_alpha(smooth * right, colours)
    assert not is_alpha(smooth.astype(np.uint16) * 257, colours)
