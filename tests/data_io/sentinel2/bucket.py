"""A small bucket laid out like `sentinel-s2-l2a`, with documents of four baselines and ESA's JPEG 2000."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from data_io.sources.sample import SAMPLE_FOLDER

BUCKET = "sentinel-s2-l2a"
SIDE = 192
"""Pixels along a side of these images; real ones have 1830."""

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "AOT", "SCL", "WVP")


@cache
def jp2(seed: int, side: int = SIDE, mode: str = "RGB") -> bytes:
    """A crop of a bundled scene, encoded as ESA does; each seed gives a different crop."""
    file = io.BytesIO()
    options: dict[str, Any] = {"tile_size": (192, 192), "codeblock_size": (4, 4), "num_resolutions": 5}
    _crop(seed, side).convert(mode).save(file, "JPEG2000", irreversible=False, **options)
    return file.getvalue()


@cache
def tiff(seed: int, side: int) -> bytes:
    """A crop of a bundled scene, encoded as in `sentinel-cogs`."""
    file = io.BytesIO()
    _crop(seed, side).save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


@cache
def cog(seed: int, side: int = 6 * SIDE, metres: float = 10, **options: Any) -> bytes:
    """A crop of a bundled scene as a cloud-optimised GeoTIFF, with overviews down to less than a block."""
    import rasterio
    from rasterio.io import MemoryFile

    pixels = np.asarray(_crop(seed, side)).transpose(2, 0, 1)
    usual = {"compress": "deflate", "predictor": 2, "blocksize": 128, "overview_resampling": "average"}
    with rasterio.Env(), MemoryFile() as file:
        with file.open(
            driver="COG", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32632",
            transform=rasterio.Affine(metres, 0, 300_000, 0, -metres, 5_600_040), **usual | options,
        ) as image:  # fmt: skip
            image.write(pixels)
        return bytes(file.getbuffer())


def _crop(seed: int, side: int) -> Image.Image:
    scene = _bundled()
    x, y = (seed * 37) % (scene.width - side), (seed * 101) % (scene.height - side)
    return scene.crop((x, y, x + side, y + side))


@cache
def _bundled() -> Image.Image:
    with Image.open(SAMPLE_FOLDER / "virginia_coast.png") as scene:
        return scene.convert("RGB")


@dataclass(frozen=True)
class FakeScene:
    """A scene in the bucket. cloud, nodata: percentages, written into its documents as they are.

    without: names of objects to leave out. extra: objects to add or replace, by name.
    """

    square: str = "32ULA"
    day: date = date(2022, 5, 1)
    sequence: int = 0
    baseline: str = "04.00"
    cloud: str = "1.5"
    nodata: str = "0.000000"
    sensed: str = ""
    seed: int = 0
    without: frozenset[str] = frozenset()
    extra: dict[str, bytes] = field(default_factory=dict)
    length: int = 40_000
    """Minimal length of metadata.xml in bytes."""

    @property
    def root(self) -> str:
        zone, band, letters = int(self.square[:2]), self.square[2], self.square[3:]
        date_ = f"{self.day.year}/{self.day.month}/{self.day.day}"
        return f"tiles/{zone}/{band}/{letters}/{date_}/{self.sequence}/"

    @property
    def name(self) -> str:
        return f"{self.square}_{self.day:%Y%m%d}_{self.sequence}"

    @property
    def sensing_time(self) -> str:
        return self.sensed or f"{self.day}T10:3{self.sequence}:19.283082Z"

    def objects(self) -> Iterator[tuple[str, bytes]]:
        files = {
            "metadata.xml": metadata(self),
            "tileInfo.json": tile_info(self),
            "R60m/TCI.jp2": b"",
            "productInfo.json": b"{}",
            "qi/L2A_PVI.jp2": b"preview",
        }
        files |= {f"R60m/{band}.jp2": b"band" for band in BANDS} | {
            f"R20m/{band}.jp2": b"b" for band in BANDS[:7]
        }
        if "R60m/TCI.jp2" not in self.without | self.extra.keys():
            files["R60m/TCI.jp2"] = jp2(self.seed)
        for name, content in (files | self.extra).items():
            if name not in self.without:
                yield self.root + name, content


ONE, TWO = FakeScene(seed=1), FakeScene(day=date(2022, 5, 11), seed=2)
"""Two scenes of one square that both pass the filters."""


def metadata(scene: FakeScene) -> bytes:
    """metadata.xml, with the elements and the namespace of its baseline."""
    old = scene.baseline <= "02.05"
    psd = "12" if old else "14" if scene.baseline < "05.11" else "15"
    suffix = "_2A" if old else ""
    square = f"T{scene.square}"
    ids = f"S2A_OPER_MSI_L2A_TL_VGS1_{scene.day:%Y%m%d}T110010_A035382_{square}_N{scene.baseline}"
    angles = "<VALUES>41.1 41.2 41.3 41.4 41.5</VALUES>\n" * (scene.length // 46)
    masks = f"<MASK_FILENAME>GRANULE/L2A_{square}_A035382/QI_DATA/MSK_QUALIT_B01.jp2</MASK_FILENAME>\n" * 90
    if old:
        quality = (
            "<L1C_Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>86.3421</CLOUDY_PIXEL_PERCENTAGE>"
            "<DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE></L1C_Image_Content_QI>"
            f"<L2A_Image_Content_QI><NODATA_PIXEL_PERCENTAGE>{scene.nodata}</NODATA_PIXEL_PERCENTAGE>"
            "<CLOUD_SHADOW_PERCENTAGE>4.19</CLOUD_SHADOW_PERCENTAGE>"
            f"<CLOUD_COVERAGE_PERCENTAGE>{scene.cloud}</CLOUD_COVERAGE_PERCENTAGE></L2A_Image_Content_QI>"
        )
    else:
        land = (
            "<CLOUDY_PIXEL_OVER_LAND_PERCENTAGE>77</CLOUDY_PIXEL_OVER_LAND_PERCENTAGE>"
            if scene.baseline >= "04.00"
            else ""
        )
        quality = (
            f"<Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>{scene.cloud}</CLOUDY_PIXEL_PERCENTAGE>{land}"
            f"<NODATA_PIXEL_PERCENTAGE>{scene.nodata}</NODATA_PIXEL_PERCENTAGE></Image_Content_QI>"
        )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-{psd}.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID{suffix} metadataLevel="Brief">{ids}</TILE_ID{suffix}>
<SENSING_TIME metadataLevel="Standard">{scene.sensing_time}</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info>{angles}</n1:Geometric_Info>
<n1:Quality_Indicators_Info metadataLevel="Standard">{quality}
<Pixel_Level_QI geometry="FULL_RESOLUTION">{masks}</Pixel_Level_QI></n1:Quality_Indicators_Info>
</n1:Level-2A_Tile_ID>
""".encode()


def tile_info(scene: FakeScene) -> bytes:
    """tileInfo.json, whose cloud percentage is 0.0 as in all real ones."""
    number = scene.baseline.replace(".", "")
    product = f"S2A_MSIL2A_{scene.day:%Y%m%d}T103021_N{number}_R108_T{scene.square}_{scene.day:%Y%m%d}T110010"
    return json.dumps(
        {
            "path": scene.root.rstrip("/"),
            "timestamp": scene.sensing_time[:23] + "Z",
            "datastrip": {"id": f"S2A_OPER_MSI_L2A_DS_VGS1_{scene.day:%Y%m%d}T110010_N{scene.baseline}"},
            "dataCoveragePercentage": 100.0,
            "cloudyPixelPercentage": 0.0,
            "productName": product,
        }
    ).encode()


def archive() -> list[FakeScene]:
    """42 scenes of three squares and four baselines: 30 to keep, the rest cloudy, nodata or duplicates."""
    baselines = ("02.05", "02.12", "04.00", "05.10")
    scenes = []
    for s, square in enumerate(("32ULA", "32ULB", "33UUP")):
        for i in range(12):
            day = date(2022, (2, 5, 6, 10)[i % 4], (1, 11, 21)[i // 4])
            cloud, nodata = ("99.9", "0.0") if i == 3 else ("0.0", "99.99") if i == 7 else ("2.5", "1e-1")
            scenes.append(FakeScene(square, day, 0, baselines[i % 4], cloud, nodata, seed=100 * s + i + 1))
        # One acquisition that was processed again: the newest baseline counts.
        first = scenes[-12]
        scenes.append(
            FakeScene(square, first.day, 1, "05.10", "3", "0", first.sensing_time, seed=100 * s + 50)
        )
        scenes.append(
            FakeScene(square, first.day, 2, "04.00", "3", "0", first.sensing_time, seed=100 * s + 51)
        )
    return scenes


def objects(scenes: list[FakeScene]) -> Iterator[tuple[str, bytes]]:
    for scene in scenes:
        yield from scene.objects()
