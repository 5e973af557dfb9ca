"""Folders as people bring them are taken right, or refused in one sentence that says what to do."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_io.__main__ import main
from tests.data_io.folders import (
    Case,
    circles,
    hidden,
    latin,
    latin_deep,
    linked,
    near_infrared,
    one_bad,
    products,
    six,
    text_of,
    turned,
)
from tests.data_io.pictures import geotiff, half, picture, save

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
