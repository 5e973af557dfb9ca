"""Folders as people bring them, made on the spot."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data_io.pictures import geotiff, picture, save

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
