"""Scenes of 10 m, 10980 x 10980 pixels, are fetched and cut within 400 MB of memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from bucket import BUCKET, FakeScene
from conftest import entries, files
from PIL import Image
from proxy import Proxy
from stac_api import StacApi, item

from data_io.images.files import decode
from data_io.sources.sample import SAMPLE_FOLDER

LIMIT = 400_000_000
SIDE = 10980
SCENE = FakeScene(without=frozenset({"R60m/TCI.jp2"}))

MEASURED = """
import re, sys
from pathlib import Path
from data_io.__main__ import main
code = main(sys.argv[1:])
# ru_maxrss would include the process that this one was forked from.
print("peak", int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundled scene enlarged to the size of 10 m, tiled and encoded as ESA does at this resolution."""
    path = tmp_path_factory.mktemp("scene") / "32ULA_20220501.jp2"
    with Image.open(SAMPLE_FOLDER / "virginia_coast.png") as bundled:
        large = bundled.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    large.save(path, tile_size=(1024, 1024), codeblock_size=(64, 64), num_resolutions=5, irreversible=False)
    return path


def peak_memory(*arguments: str) -> int:
    """Peak resident bytes of a fresh process that runs `python -m data_io` with these arguments."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("peak ")[2])


@pytest.fixture
def stored(faulty: Proxy, moto: tuple[str, Any], scene: Path) -> Iterator[str]:
    """The URL of a server whose bucket has the scene."""
    for key, content in SCENE.objects():
        if key.endswith(("metadata.xml", "tileInfo.json")):
            moto[1].put_object(Bucket=BUCKET, Key=key, Body=content, ACL="public-read")
    with scene.open("rb") as file:
        moto[1].put_object(Bucket=BUCKET, Key=f"{SCENE.root}R10m/TCI.jp2", Body=file, ACL="public-read")
    yield moto[0]
    moto[1].delete_object(Bucket=BUCKET, Key=f"{SCENE.root}R10m/TCI.jp2")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scene_of_10_m_is_fetched_and_its_png_cut_in_400_mb(stored: str, tmp_path: Path) -> None:
    fetch = [
        "fetch", "--squares", "32ULA", "--from", "2022-05-01", "--to", "2022-05-01", "--resolution", "10",
        "--endpoint-url", stored, "--processes", "1", "--unsigned", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert peak_memory(*fetch) < LIMIT
    assert set(files(tmp_path / "out")) == {f"{SCENE.name}.png", "manifest.jsonl"}
    assert entries(tmp_path / "out")[SCENE.name].reason == "verified by md5"
    assert peak_memory("prepare", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")) < LIMIT
    (train,) = (tmp_path / "cache").glob("*/train.npy")
    assert train.stat().st_size > 50_000_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_geotiff_of_10_m_is_read_by_ranges_in_400_mb(
    faulty: Proxy, moto: tuple[str, Any], api: StacApi, scene: Path, tmp_path: Path
) -> None:
    path = tmp_path / "TCI.tif"
    pixels = decode(scene).transpose(2, 0, 1)
    transform = rasterio.Affine(10, 0, 300_000, 0, -10, 5_900_040)
    shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "transform": transform}
    with rasterio.open(path, "w", driver="COG", crs="EPSG:32632", compress="deflate", **shape) as image:
        image.write(pixels)
    moto[1].create_bucket(Bucket="sentinel-cogs")
    with path.open("rb") as file:
        moto[1].put_object(Bucket="sentinel-cogs", Key="TCI.tif", Body=file, ACL="public-read")
    path.unlink()
    api.add("a", item(f"{moto[0]}/sentinel-cogs/TCI.tif"))
    fetch = [
        "fetch", "--squares", "32ULA", "--from", "2022-05-01", "--to", "2022-05-01", "--resolution", "10",
        "--stac", api.url, "--collection", "a", "--processes", "1", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert peak_memory(*fetch) < LIMIT
    assert set(files(tmp_path / "out")) == {"32ULA_20220501_S2A-0.png", "manifest.jsonl"}
    moto[1].delete_object(Bucket="sentinel-cogs", Key="TCI.tif")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_jp2_of_10_m_is_cut_in_400_mb(scene: Path, tmp_path: Path) -> None:
    paper = ["--tile", "224", "--cache", str(tmp_path / "cache")]
    assert peak_memory("prepare", str(scene), *paper) < LIMIT
    (train,) = (tmp_path / "cache").glob("*/train.npy")
    assert train.stat().st_size > 50_000_000
