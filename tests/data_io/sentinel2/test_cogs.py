"""The bucket of GeoTIFFs that anybody may read: the same filters, applied to its STAC items."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bucket import SIDE, tiff
from conftest import Fetch, entries
from proxy import Proxy

from data_io.images.files import decode

Put = Callable[..., None]


@pytest.fixture
def put_item(faulty: Proxy, moto: tuple[str, Any]) -> Put:
    client = moto[1]
    client.create_bucket(Bucket="sentinel-cogs")

    def put(day: int, number: int = 0, **properties: Any) -> None:
        identity = f"S2A_32ULA_202205{day:02d}_{number}_L2A"
        root = f"sentinel-s2-l2a-cogs/32/U/LA/2022/5/{identity}/"
        usual = {
            "datetime": f"2022-05-{day:02d}T10:30:19.283Z",
            "eo:cloud_cover": 1.5,
            "s2:nodata_pixel_percentage": 0.25,
            "s2:processing_baseline": "04.00",
        }
        item = {"properties": {k: v for k, v in (usual | properties).items() if v is not None}}
        image = tiff(day, side=6 * SIDE)
        for name, content in ((f"{identity}.json", json.dumps(item).encode()), ("TCI.tif", image)):
            client.put_object(Bucket="sentinel-cogs", Key=root + name, Body=content, ACL="public-read")

    return put


def test_items_are_filtered_and_images_shrunk(
    faulty: Proxy, put_item: Put, run: Fetch, tmp_path: Path
) -> None:
    put_item(1)
    put_item(1, 1, **{"s2:processing_baseline": "05.10"})
    put_item(6, **{"eo:cloud_cover": 5.01})
    put_item(11, **{"s2:nodata_pixel_percentage": 99})
    put_item(16, **{"s2:nodata_pixel_percentage": None})
    put_item(30)
    report = run(faulty, source="cogs", last="2022-05-29")
    assert report.decisions == {"cloudy": 1, "corrupt": 1, "duplicate": 1, "kept": 1, "nodata": 1}
    found = entries(tmp_path / "out")
    assert "no s2:nodata_pixel_percentage" in found["32ULA_20220516_S2A-0"].reason
    assert decode(tmp_path / "out" / "32ULA_20220501_S2A-1.png").shape == (SIDE, SIDE, 3)
    assert not any("20220530" in path for _, path, _ in faulty.log)
    assert run(faulty, source="cogs", last="2022-05-29").downloaded == 0
