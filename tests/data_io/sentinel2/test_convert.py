"""A fetched image is checked, and converted to the same pixels whether whole or in strips."""

import errno
from pathlib import Path

import numpy as np
import pytest
from bucket import jp2, tiff

from data_io.images import files
from data_io.images.files import decode
from data_io.sentinel2.convert import BadImageError, Converted, convert


def convert_bytes(folder: Path, content: bytes, suffix: str, side: int, keep: bool) -> Converted:
    (folder / "a").write_bytes(content)
    return convert(str(folder / "a"), suffix, str(folder), "a", side, keep)


@pytest.mark.parametrize("suffix", [".jp2", ".tif"])
@pytest.mark.parametrize("side", [300, 390])
def test_strips_become_the_pixels_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, side: int
) -> None:
    content = jp2(3, side=side) if suffix == ".jp2" else tiff(3, side)
    whole = convert_bytes(tmp_path, content, suffix, side, keep=False)
    monkeypatch.setattr(files, "WHOLE_PIXELS", 0)
    strips = convert_bytes(tmp_path, content, suffix, side, keep=False)
    for one in (whole, strips):
        Path(one.path).rename(tmp_path / f"{one.sha256}.png")
    pixels = [decode(tmp_path / f"{one.sha256}.png") for one in (whole, strips)]
    assert pixels[0].shape == (side, side, 3)
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize("limit", [0, 1 << 24])
def test_keep_stores_the_bytes_as_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(files, "WHOLE_PIXELS", limit)
    kept = convert_bytes(tmp_path, jp2(3), ".jp2", 192, keep=True)
    assert Path(kept.path).read_bytes() == jp2(3)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("limit", [0, 1 << 24])
def test_a_block_that_cannot_be_decoded_is_found_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, keep: bool
) -> None:
    monkeypatch.setattr(files, "WHOLE_PIXELS", limit)
    content = jp2(3, side=400)
    for share in (0.4, 0.9, 0.999):
        with pytest.raises(BadImageError, match="it cannot be decoded"):
            convert_bytes(tmp_path, content[: int(len(content) * share)], ".jp2", 400, keep)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_fills_up_is_not_blamed_on_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "WHOLE_PIXELS", 0)
    monkeypatch.setattr("data_io.images.png.PngWriter.write", full)
    with pytest.raises(OSError, match="No space left") as raised:
        convert_bytes(tmp_path, jp2(3), ".jp2", 192, keep=False)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
