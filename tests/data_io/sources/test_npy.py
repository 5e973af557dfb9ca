"""A stack of images in one .npy."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_io import DataConfig, DataError
from data_io.sources import list_images
from data_io.tiles.cache import find_or_cut
from tests.data_io.pictures import picture

STACK = np.stack([picture(number, 32, 48) for number in range(12)])


def save(path: Path, values: NDArray[Any]) -> str:
    np.save(path, values)
    return str(path)


@pytest.mark.parametrize(
    ("stack", "pixels"),
    [
        (STACK, STACK),
        (STACK.transpose(0, 3, 1, 2)[:, :, :, ::-1], STACK[:, :, ::-1]),
        (STACK[..., 0], STACK[..., :1].repeat(3, 3)),
        (STACK[..., :1], STACK[..., :1].repeat(3, 3)),
    ],
)
def test_bands_may_come_first_or_last_or_be_one(
    tmp_path: Path, stack: NDArray[Any], pixels: NDArray[Any]
) -> None:
    if stack.shape[1] == 3:
        stack, pixels = np.repeat(stack, 2, 2), np.repeat(pixels, 2, 1)  # more rows than an image has bands
    images = list_images(save(tmp_path / "a.npy", stack))
    assert [image.name for image in images] == [f"{number:02d}" for number in range(12)]
    for image, expected in zip(images, pixels, strict=True):
        with closing(image.open()) as raster:
            np.testing.assert_array_equal(raster.rows(0, raster.height), expected)
        assert (image.header().height, image.header().width) == expected.shape[:2]
    assert len({image.digest() for image in images}) == 12


def test_any_bands_and_types_are_stretched(tmp_path: Path) -> None:
    deep = np.stack([picture(n, 32, 48, bands=12, top=4000, dtype=np.uint16) for n in range(12)])
    source = save(tmp_path / "a.npy", deep.transpose(0, 3, 1, 2).repeat(2, 2))
    with pytest.raises(DataError, match=r"a\.npy\[0\] has 12 bands of uint16: give data.bands"):
        find_or_cut(DataConfig(source=source, tile_size=16), tmp_path / "cache")
    config = DataConfig(source=source, tile_size=16, min_std=0, bands="4,3,2", stretch="2,98")
    entry = find_or_cut(config, tmp_path / "cache")
    assert sum(len(tiles) for tiles in entry.tiles.values()) == 12 * 12


@pytest.mark.parametrize(
    "values",
    [
        picture(1)[:, :, 0],
        np.zeros((2, 3)),
        np.zeros((0, 8, 8, 3)),
        np.array(["a"]),
        np.zeros((2, 8, 8), bool),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, values: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"a\.npy must be numbers of shape \(n, height, width, bands\), not"):
        list_images(save(tmp_path / "a.npy", values))


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy is not a .npy file of numbers"):
        list_images(str(tmp_path / "a.npy"))
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"b\.npy is not a .npy file of numbers"):
        list_images(str(tmp_path / "b.npy"))
