"""Folders as people bring them are taken right, or refused in one sentence that says what to do."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_io.__main__ import main
from tests.data_io.pictures import geotiff, half, picture, save

Make = Callable[[Path], object]


@dataclass
class Case:
    """make: fills a folder. options: of `info`. images, nodata, left_out: what it counts.

    refused: what it says instead.
    """

    make: Make
    options: str = ""
    images: int = 6
    nodata: int = 0
    refused: str = ""
    left_out: dict[str, int] = field(default_factory=dict)


def six(one: Callable[[Path, int], object]) -> Make:
    return lambda folder: [one(folder, number) for number in range(6)]


def linked(folder: Path) -> None:
    for name in ("Forest", "River"):
        for number in range(3):
            save(folder.parent / "store" / name / f"{number}.png", picture(ord(name[0]) + number))
    folder.mkdir()
    (folder / "Forest").symlink_to("../store/Forest")
    shutil.copytree(folder.parent / "store" / "River", folder / "River")


def circles(folder: Path) -> None:
    for number in range(6):
        save(folder / "a" / f"{number}.png", picture(number))
    (folder / "a" / "up").symlink_to("..")
    (folder / "again").symlink_to("a")
    (folder / "gone.png").symlink_to("nowhere")


def hidden(folder: Path) -> None:
    for place in (".", ".ipynb_checkpoints", ".Trash-1000/files", "__MACOSX", "@eaDir/1.png"):
        for number in range(6):
            save(folder / place / f"{number}.png", picture(number, 64 if place == "." else 16, 64))


def one_bad(folder: Path) -> None:
    for number in range(7):
        save(folder / f"{number}.jpg", picture(number))
    content = (folder / "3.jpg").read_bytes()
    (folder / "3.jpg").write_bytes(content[: len(content) // 2])


def latin(folder: Path) -> None:
    for number in range(6):
        save(folder / "x.tif", picture(number))
        (folder / "x.tif").rename(folder / os.fsdecode(b"caf\xe9_%d.tif" % number))


def latin_deep(folder: Path) -> None:
    for number in range(6):
        geotiff(folder / "x.tif", picture(number, bands=5, top=4000, dtype=np.uint16))
        (folder / "x.tif").rename(folder / os.fsdecode(b"caf\xe9_%d.tif" % number))


def products(folder: Path, true_colour: bool = True) -> None:
    for square, day in (("T32ULA", "20220501"), ("T32ULB", "20220506"), ("T32UMA", "20220511")):
        product = folder / f"S2A_MSIL2A_{day}T103031_N0400_R108_{square}_{day}T151515.SAFE"
        granule = product / "GRANULE" / f"L2A_{square}_A035813_{day}T103457"
        bands = granule / "IMG_DATA" / "R60m"
        if true_colour:
            save(bands / f"{square}_{day}T103031_TCI_60m.jp2", picture(int(day), 128, 128))
        for band in ("B02", "B03", "B04"):
            deep = picture(int(day), 128, 128, bands=1, top=9000, dtype=np.uint16)
            geotiff(bands / f"{square}_{day}T103031_{band}_60m.jp2", deep, driver="JP2OpenJPEG")
        save(granule / "QI_DATA" / f"{square}_{day}T103031_PVI.jp2", picture(1, 40, 40))
        save(product / "preview.jpg", picture(1, 40, 40))


def near_infrared(number: int) -> Any:
    values = picture(number, bands=4)
    values[:40, :, 3] = 0  # dark on water
    return values


def turned(path: Path, number: int, **options: Any) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    return save(path, picture(number, 96, 64), exif=exif, **options)


def text_of(path: Path, magic: str, values: Any, top: int) -> None:
    path.parent.mkdir(exist_ok=True)
    height, width, _ = values.shape
    path.write_text(f"{magic}\n{width} {height}\n{top}\n{' '.join(map(str, values.ravel()))}\n")


SHALLOW = picture(0, bands=3)
IN_PRODUCT = "in a Sentinel-2 product, beside the images taken from it"

CASES = {
    "13 bands of 16 bits": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=13, top=4000, dtype=np.uint16))),
        refused=r"0\.tif has 13 bands of uint16: give data.bands, such as 4,3,2 .* and data.stretch, such",
    ),
    "13 bands, told": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=13, top=4000, dtype=np.uint16))),
        options="--bands 4,3,2 --stretch 2,98",
    ),
    "13 bands, a wrong one": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=13, top=4000, dtype=np.uint16))),
        options="--bands 4,3,14 --stretch 2,98",
        refused=r"0\.tif has no band 14, but 13: change data.bands",
    ),
    "8 bits, min is black": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i), photometric="MINISBLACK"))
    ),
    "four bands of no meaning": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=4), photometric="MINISBLACK")),
        refused=r"has 4 bands of uint8: give data.bands, such as 4,3,2 \(--bands\), convert",
    ),
    "float": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", (picture(i) / 255).astype(np.float32))),
        refused=r"has 3 bands of float32: give data.stretch",
    ),
    "float, told": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", (picture(i) / 255).astype(np.float32))),
        options="--stretch 0,0.9",
    ),
    "float with nodata": Case(
        six(
            lambda f, i: geotiff(
                f / f"{i}.tif",
                np.where(half(64, 128)[:, :, None], picture(i, 64, 128, dtype=np.float32), -9999),
                nodata=-9999,
            )
        ),
        options="--stretch 2,98",
        nodata=6,
    ),
    "not a number": Case(
        six(
            lambda f, i: geotiff(
                f / f"{i}.tif", np.where(half(64, 128)[:, :, None], picture(i, 64, 128), np.nan)
            )
        ),
        options="--stretch 2,98",
        nodata=6,
    ),
    "heights, negative": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=1, top=3000, dtype=np.int16) - 1500)),
        options="--stretch=-1500,1500",
    ),
    "complex": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i).astype(np.complex64))),
        refused=r"has 3 bands of complex64, which cannot be shown: convert it",
    ),
    "LERC": Case(six(lambda f, i: geotiff(f / f"{i}.tif", picture(i), photometric="RGB", compress="LERC"))),
    "16-bit PNG": Case(
        six(lambda f, i: geotiff(f / f"{i}.png", picture(i, top=60000, dtype=np.uint16), driver="PNG")),
        options="--stretch 2,98",
    ),
    "16-bit PGM": Case(
        six(
            lambda f, i: (f.mkdir(exist_ok=True), f / f"{i}.pgm")[1].write_bytes(
                b"P5 64 64 65535\n" + picture(i, bands=1, top=60000, dtype=">u2").tobytes()
            )
        ),
        options="--stretch 2,98",
    ),
    "16-bit PGM as text": Case(
        six(
            lambda f, i: text_of(f / f"{i}.pgm", "P2", picture(i, bands=1, top=60000, dtype=np.uint16), 65535)
        ),
        refused=r"0\.pgm cannot be read \(its numbers are above 255 .*: save it as P5 or P6, in bytes\)",
    ),
    "PPM as text": Case(six(lambda f, i: text_of(f / f"{i}.ppm", "P3", picture(i), 255))),
    "two bands": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=2))),
        refused=r"0\.tif has 2 bands of uint8: give data.bands, such as 1 \(--bands\)",
    ),
    "two bands in JPEG 2000": Case(
        six(lambda f, i: geotiff(f / f"{i}.jp2", picture(i, bands=2), driver="JP2OpenJPEG")),
        refused=r"0\.jp2 has 2 bands of uint8: give data.bands, such as 1 \(--bands\)",
    ),
    "two bands, told": Case(six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, bands=2))), "--bands 2"),
    "grey and alpha": Case(
        six(
            lambda f, i: geotiff(
                f / f"{i}.tif",
                np.dstack([picture(i, 64, 128, bands=1), half(64, 128) * np.uint8(255)]),
                alpha="YES",
                interleave=("pixel", "band")[i % 2],
            )
        ),
        nodata=6,
    ),
    "grey and a mask": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, 64, 128, bands=1), half(64, 128))), nodata=6
    ),
    "masks beside the images": Case(
        six(
            lambda f, i: (
                geotiff(f / f"{i}.tif", picture(i), photometric="RGB"),
                geotiff(f / f"{i}.tif.msk", picture(i, bands=1)),
            )
        ),
        left_out={"mask files beside images, whose masks do not count: write them into the images": 6},
    ),
    "two kinds of numbers": Case(
        lambda f: [save(f / "a.png", SHALLOW), geotiff(f / "b.tif", SHALLOW.astype(np.uint16))],
        options="--stretch 2,98",
        refused=r"a\.png has values of uint8 and .*b\.tif of uint16, which no common percentiles fit",
    ),
    "a stretch for other numbers": Case(
        six(lambda f, i: save(f / f"{i}.png", picture(i))),
        options="--stretch 0,3000",
        refused=r"has values of uint8, up to 255, which a stretch of 0 to 3000 does not fit",
    ),
    "nodata of 255": Case(
        six(
            lambda f, i: geotiff(
                f / f"{i}.tif",
                np.where(half(64, 128)[:, :, None], picture(i, 64, 128, top=254), 255).astype(np.uint8),
                photometric="RGB",
                nodata=255,
            )
        ),
        nodata=6,
    ),
    "a mask": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", picture(i, 64, 128), half(64, 128), photometric="RGB")),
        nodata=6,
    ),
    "alpha": Case(
        six(
            lambda f, i: save(
                f / f"{i}.{('png', 'tif', 'webp')[i % 3]}",
                np.dstack([picture(i, 64, 128), half(64, 128) * np.uint8(255)]),
                **({"lossless": True} if i % 3 == 2 else {}),
            )
        ),
        nodata=6,
    ),
    "near infrared as alpha": Case(
        six(
            lambda f, i: (
                geotiff(f / f"{i}.tif", near_infrared(i), photometric="RGB", alpha="YES")
                if i % 2
                else save(f / f"{i}.png", near_infrared(i))
            )
        )
    ),
    "near infrared shown": Case(
        six(lambda f, i: geotiff(f / f"{i}.tif", near_infrared(i), photometric="RGB", alpha="YES")),
        options="--bands 4,1,2",
    ),
    "EXIF": Case(
        six(lambda f, i: turned(f / f"{i}.{('jpg', 'png', 'tif', 'webp', 'jpg', 'png')[i]}", i)),
    ),
    "many kinds": Case(
        lambda f: [
            save(f / f"{i}.{kind}", picture(i), **({"format": "JPEG"} if kind == "jfif" else {}))
            for i, kind in enumerate(("png", "jpg", "webp", "bmp", "jfif", "ppm", "tiff", "jp2", "gif"))
        ],
        images=8,
        left_out={"of kinds that are not read": 1},
    ),
    "linked classes": Case(linked),
    "links in a circle": Case(
        circles,
        left_out={
            "links to folders that are searched anyway": 2,
            "links to nothing, or to themselves": 1,
        },
    ),
    "hidden folders": Case(hidden, left_out={"hidden, or in a hidden folder": 24}),
    "chosen by pattern": Case(
        lambda f: [save(f / c / f"{i}.png", picture(ord(c) + i)) for c in "abc" for i in range(6)],
        options="--include a,b/[0-2]* --exclude 5.png",
        images=8,
        left_out={"excluded by data.exclude": 3, "not named by data.include": 7},
    ),
    "one cut short": Case(
        one_bad, refused=r"3\.jpg cannot be read .*: replace the file, take it out .* by data.skip_bad"
    ),
    "one cut short, skipped": Case(one_bad, options="--skip-bad"),
    "thumbnails among them, skipped": Case(
        lambda f: [save(f / f"{i}.png", picture(i, 64 if i < 6 else 16)) for i in range(9)],
        options="--skip-bad",
    ),
    "all bad, skipped": Case(
        lambda f: [save(f / f"{i}.png", picture(i, 16)) for i in range(3)],
        options="--skip-bad",
        refused=r"holds no usable image, but 3 bad ones: .*0\.png is 64 x 16 pixels, smaller",
    ),
    "not UTF-8": Case(latin),
    "not UTF-8, deep": Case(latin_deep, options="--bands 1,2,3 --stretch 2,98"),
    "products": Case(products, images=3, left_out={IN_PRODUCT: 15}),
    "products, bands by name": Case(
        products, options="--bands B04,b3,B02 --stretch 2,98", images=3, left_out={IN_PRODUCT: 9}
    ),
    "products, bands by number": Case(
        products,
        options="--bands 4,3,2 --stretch 2,98",
        refused=r"whose bands have names: .*of B02, B03, B04, TCI",
    ),
    "products, a band they lack": Case(
        products,
        options="--bands B08,B03,B02 --stretch 2,98",
        refused=r"has not all bands of B08,B03,B02 at one",
    ),
    "products without true colour": Case(
        lambda f: products(f, true_colour=False),
        refused=r"\[B04,B03,B02\] has 3 bands of uint16: give data.stretch",
    ),
    "products without true colour, told": Case(
        lambda f: products(f, true_colour=False),
        options="--stretch 0,9000",
        images=3,
        left_out={IN_PRODUCT: 6},
    ),
    "one band of products": Case(
        products,
        options="--include *_B04_* --stretch 0,9000",
        images=3,
        left_out={"not named by data.include": 15},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_people_bring(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    case.make(tmp_path / "images")
    options = ["--cache", str(tmp_path / "cache"), "--json", *case.options.split()]
    code = main(["info", str(tmp_path / "images"), *options])
    out, err = capsys.readouterr()
    if case.refused:
        assert (code, out, err.count("\n")) == (2, "", 1)

        assert re.search(case.refused, err), err
        return
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert len(summary["scenes"]) == case.images
    assert summary["rejected"]["nodata"] == case.nodata
    assert summary["left_out"] == case.left_out
    assert all(summary["tiles"][split] for split in ("train", "validation", "test"))


@pytest.mark.parametrize("pack", [False, True])
def test_a_zip_gives_what_its_folder_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pack: bool
) -> None:
    """The hash too: that of `linked classes` beside `products`, deep bands, and what is left out."""
    products(tmp_path / "images")
    source = tmp_path / "images"
    if pack:
        source = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", source))
    options = ["--cache", str(tmp_path / "cache"), "--json", "--bands", "B04,B03,B02", "--stretch", "2,98"]
    assert main(["info", str(source), *options]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert len(summary["scenes"]) == 3
    assert summary["left_out"] == {IN_PRODUCT: 9}
