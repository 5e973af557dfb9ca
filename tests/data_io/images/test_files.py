"""Every supported kind of file gives the same RGB pixels; every unusable file gives one sentence."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_io import DataError
from data_io.images import files
from data_io.images.files import decode, inspect

RGB = np.random.default_rng(0).integers(1, 256, (40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
        ("a.jp2", {"irreversible": False}),
        ("a.jp2", {"tile_size": (32, 32), "num_resolutions": 3, "irreversible": False}),
        ("a.j2k", {"irreversible": False}),
    ],
)
def test_lossless_formats_give_the_exact_pixels(tmp_path: Path, name: str, save: dict[str, Any]) -> None:
    Image.fromarray(RGB).save(tmp_path / name, **save)
    np.testing.assert_array_equal(decode(tmp_path / name), RGB)
    header = inspect(tmp_path / name)
    assert (header.height, header.width) == (40, 56)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".jp2"])
def test_bytes_give_the_pixels_and_the_refusals_of_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    np.testing.assert_array_equal(decode("archive[a]", content), decode(path))
    with pytest.raises(DataError, match=r"archive\[a\] cannot be read"):
        decode("archive[a]", content[: len(content) // 2])
    if suffix == ".jp2":
        _jp2_of_16_bits(path)
        with pytest.raises(DataError, match=r"archive\[a\] has 3 bands of uint16"):
            decode("archive[a]", path.read_bytes())


def test_jpeg_comes_close(tmp_path: Path) -> None:
    smooth = np.linspace(20, 220, 40 * 56 * 3).reshape(40, 56, 3).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(decode(tmp_path / "a.jpg").astype(int) - smooth).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grey{suffix}"
    Image.fromarray(RGB[:, :, 0]).save(path, **({"irreversible": False} if suffix == ".jp2" else {}))
    np.testing.assert_array_equal(decode(path), np.repeat(RGB[:, :, :1], 3, axis=2))


def test_transparent_pixels_become_nodata_and_others_keep_their_colour(tmp_path: Path) -> None:
    alpha = np.full((40, 56, 1), 255, np.uint8)
    alpha[:5], alpha[5:10] = 0, 100
    Image.fromarray(np.concatenate([RGB, alpha], axis=2)).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png")
    assert not decoded[:5].any()
    np.testing.assert_array_equal(decoded[5:], RGB[5:])


def test_palettes_are_resolved_and_their_transparent_entry_is_nodata(tmp_path: Path) -> None:
    indices = (np.arange(40 * 56).reshape(40, 56) % 3).astype(np.uint8)
    image = Image.fromarray(indices, mode=None)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    image.save(tmp_path / "plain.png")
    np.testing.assert_array_equal(decode(tmp_path / "plain.png"), palette[indices])
    image.save(tmp_path / "clear.png", transparency=1)
    palette[1] = 0
    np.testing.assert_array_equal(decode(tmp_path / "clear.png"), palette[indices])


def _png_of_16_bits(path: Path) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB)
    header = struct.pack(">IIBBBBB", 56, 40, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def _tiff_of_16_bits(path: Path) -> None:
    tags = [
        (256, 3, 1, 56),
        (257, 3, 1, 40),
        (258, 3, 3, 200),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 300),
    ]
    tags += [(277, 3, 1, 3), (278, 3, 1, 40), (279, 4, 1, RGB.size * 2)]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + struct.pack("<I", 0)
    bits = struct.pack("<HHH", 16, 16, 16)
    body = (head.ljust(200, b"\0") + bits).ljust(300, b"\0")
    path.write_bytes(body + RGB.astype("<u2").tobytes())


def _jp2_of_16_bits(path: Path) -> None:
    # Pillow writes 16 bits for grey only, so the header's Ssiz bytes are changed to 12 bits for 3 channels.
    Image.fromarray(RGB).save(path)
    content = bytearray(path.read_bytes())
    start = content.find(b"\xff\x4f\xff\x51") + 42
    content[start] = content[start + 3] = content[start + 6] = 11
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("grey.png", lambda path: Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257).save(path)),
        ("grey.jp2", lambda path: Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257).save(path)),
        ("grey.tif", lambda path: Image.fromarray(RGB[:, :, 0].astype(np.int32)).save(path)),
        ("float.tif", lambda path: Image.fromarray(RGB[:, :, 0].astype(np.float32)).save(path)),
        ("colour.png", _png_of_16_bits),
        ("colour.tif", _tiff_of_16_bits),
        ("colour.jp2", _jp2_of_16_bits),
    ],
)
def test_more_than_8_bits_is_refused_and_not_silently_cut_down(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=r"has \d bands? of \w+: give data.stretch") as caught:
        decode(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".jp2"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_file_cut_short_is_refused_by_name(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"short{suffix}"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"short\.\w+ cannot be read"):
        decode(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".jp2"])
def test_damage_anywhere_ends_in_pixels_or_in_a_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"noise{suffix}"
    Image.fromarray(RGB).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        # Half of the time, aim at the headers, which are at the front (TIFF: at the end).
        reach = len(content) if rng.random() < 0.5 else min(200, len(content))
        for place in rng.integers(0, reach, 3):
            content[place if suffix != ".tif" else -1 - place] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert decode(path).dtype == np.uint8
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017
            refused += 1
    assert refused


def test_other_files_under_an_image_name_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("<Error>AccessDenied</Error>")
    for name in ("a.png", "b.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            inspect(tmp_path / name)


def test_a_whole_sentinel_2_scene_opens_without_a_warning_and_a_bomb_is_refused(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side, name in ((10980, "scene.png"), (31623, "bomb.png"), (60000, "big_bomb.png")):
        chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        content = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        content += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert inspect(tmp_path / "scene.png").width == 10980
    for name in ("bomb.png", "big_bomb.png"):
        with pytest.raises(DataError, match="more than a gigapixel"):
            inspect(tmp_path / name)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert files.MAX_PIXELS >= 10980**2
