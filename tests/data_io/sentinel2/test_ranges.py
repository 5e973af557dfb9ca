"""Of an image on a server only what is needed is read, and what arrives is checked."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from bucket import SIDE, cog, tiff
from conftest import Fetch, Moto, Put, entries, files
from PIL import Image
from proxy import Exchange, Proxy

from data_io.images.files import decode
from data_io.sentinel2.access import Access
from data_io.sentinel2.catalogue import Scene
from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.download import StoppedError
from data_io.sentinel2.failures import NotFoundError, StoreError, TransientError
from data_io.sentinel2.ranges import RangeImages
from data_io.sentinel2.remote import Remote
from data_io.sentinel2.s3 import StoredObject
from data_io.sentinel2.squares import Square
from data_io.sentinel2.traffic import Traffic

FULL = 6 * SIDE
NAME = "32ULA_20220501_S2A-0"


class Reader:
    """Reads one image of `sentinel-cogs` through the proxy into a folder."""

    def __init__(self, proxy: Proxy, work: Path) -> None:
        self.address, self.work = f"{proxy.url}/sentinel-cogs/a/TCI.tif", work
        self.stop, self.traffic = threading.Event(), Traffic()
        stored = StoredObject(self.address, 0, "product")
        square, day = Square(32, "U", "LA"), date(2022, 5, 1)
        self.scene = Scene(NAME, square, day, 0, self.address, stored, "item", None)

    def images(self, resolution: int, whole: bool = False) -> RangeImages:
        """whole: for a whole scene, of 109.8 km."""
        access = Access("us-west-2", attempts=3, read_timeout=5)
        remote = Remote(access, self.traffic, lambda count: None)
        side = None if whole else FULL * 10 // resolution
        return RangeImages(remote, Decoder(1), resolution, side, False, 1, self.stop)

    def read(self, resolution: int) -> np.ndarray:
        """The pixels; nothing is left in the folder."""
        fetched = self.images(resolution).fetch(self.scene, self.work)
        path = Path(fetched.file.path).rename(self.work / "a.png")
        pixels = decode(path)
        path.unlink()
        fetched.partial.unlink()
        return pixels


@pytest.fixture
def reader(faulty: Proxy, moto: Moto, tmp_path: Path) -> Reader:
    moto[1].create_bucket(Bucket="sentinel-cogs")
    store(moto, cog(1))
    return Reader(faulty, tmp_path)


def store(moto: Moto, content: bytes) -> None:
    moto[1].put_object(Bucket="sentinel-cogs", Key="a/TCI.tif", Body=content, ACL="public-read")


def received(proxy: Proxy) -> int:
    return sum(count for method, _, count in proxy.log if method == "GET")


@pytest.mark.parametrize(
    ("resolution", "level", "reduce", "most"),
    [
        (10, 1, 1, 0.8),
        (20, 2, 1, 0.24),
        (40, 4, 1, 0.08),
        (80, 8, 1, 0.035),
        (60, 2, 3, 0.24),
        (30, 1, 3, 0.8),
    ],
)
def test_the_overview_that_fits_is_read_and_nothing_else(
    reader: Reader, faulty: Proxy, tmp_path: Path, resolution: int, level: int, reduce: int, most: float
) -> None:
    predicted = reader.images(resolution).size(reader.scene)
    faulty.clear()
    pixels = reader.read(resolution)
    (tmp_path / "a.tif").write_bytes(cog(1))
    with Image.open(tmp_path / "a.tif") as image:
        image.seek({1: 0, 2: 1, 4: 2, 8: 3}[level])  # the overviews follow the image
        expected = np.asarray(image.reduce(reduce) if reduce > 1 else image)
    np.testing.assert_array_equal(pixels, expected)
    assert received(faulty) < most * len(cog(1)) + (1 << 15)
    assert predicted[0] >= received(faulty) - (1 << 16)
    assert predicted[0] <= received(faulty) + (1 << 15)


def test_a_resolution_without_an_overview_is_made_from_the_next_finer_one(reader: Reader, moto: Moto) -> None:
    store(moto, cog(1, overview_count=1))
    half = reader.read(20)
    quarter = np.asarray(Image.fromarray(half).reduce(2))
    np.testing.assert_array_equal(reader.read(40), quarter)


def test_the_side_of_an_overview_may_be_rounded_either_way(reader: Reader, moto: Moto) -> None:
    store(moto, cog(1, side=549, metres=200))  # 109.8 km, as a scene has; 549 / 8 = 68.6
    pixels = decode(Path(reader.images(1600, whole=True).fetch(reader.scene, reader.work).file.path))
    assert pixels.shape[0] in {68, 69}


def test_what_is_cut_short_continues_where_it_broke(reader: Reader, faulty: Proxy) -> None:
    undisturbed = reader.read(20)
    whole = received(faulty)
    faulty.clear()

    def cut(exchange: Exchange) -> None:
        exchange.cut = len(exchange.body) // 2 if len(faulty.log) % 3 == 1 else None

    faulty.faults.append(cut)
    np.testing.assert_array_equal(reader.read(20), undisturbed)
    assert received(faulty) == whole
    assert len(faulty.log) > 8


@pytest.mark.parametrize("status", [503, 429])
def test_what_fails_for_a_while_is_tried_again_and_what_always_fails_is_said(
    reader: Reader, faulty: Proxy, status: int
) -> None:
    faulty.before.append(lambda exchange: len(faulty.log) % 2 == 0 and exchange.error(status, "SlowDown"))
    assert reader.read(80).shape == (FULL // 8, FULL // 8, 3)
    faulty.before.append(lambda exchange: exchange.error(status, "SlowDown"))
    with pytest.raises(
        TransientError, match=f"{reader.address}: the server answered {status} SlowDown at every attempt"
    ):
        reader.read(40)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (403, StoreError, "answered 403 Code; give credentials .* --unsigned"),
        (404, NotFoundError, "answered 404"),
        (412, StoreError, "it was replaced meanwhile"),
        (416, BadImageError, "ends before all that its header announces"),
        (400, StoreError, "answered 400 Code; check --endpoint-url"),
    ],
)
def test_every_refusal_is_one_sentence(
    reader: Reader, faulty: Proxy, status: int, kind: type[Exception], message: str
) -> None:
    faulty.before.append(lambda exchange: exchange.error(status, "Code"))
    with pytest.raises(kind, match=message) as raised:
        reader.read(80)
    assert "\n" not in str(raised.value)


def test_a_server_that_sends_whole_files_only_is_named(reader: Reader, faulty: Proxy) -> None:
    def ignore(exchange: Exchange) -> None:
        exchange.status, exchange.body = 200, cog(1)
        exchange.answer.pop("Content-Range", None)

    faulty.faults.append(ignore)
    with pytest.raises(StoreError, match="sends whole files only"):
        reader.read(80)


def test_an_image_replaced_in_mid_read_is_not_mixed_with_its_successor(
    reader: Reader, faulty: Proxy, moto: Moto
) -> None:
    def replace_it(exchange: Exchange) -> None:
        if exchange.count == 1:
            store(moto, cog(2))

    faulty.before.append(replace_it)
    with pytest.raises(StoreError, match="it was replaced meanwhile"):
        reader.read(20)


def damaged() -> bytes:
    content = bytearray(cog(1))
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (damaged, "not a readable GeoTIFF"),
        (lambda: cog(1)[: len(cog(1)) // 2], "ends after .* bytes, before all"),
        (lambda: cog(1)[:300], "ends|not a readable GeoTIFF"),
        (lambda: b"", "it is empty"),
        (lambda: b"<html><body>Sign in</body></html>" * 100, "not a readable GeoTIFF"),
        (lambda: cog(1, metres=15), "multiple"),
        (lambda: cog(1, side=FULL + 128), f"{FULL + 128} x {FULL + 128} pixels, not {FULL} x {FULL}"),
        (lambda: tiff(1, FULL), "without tiles|multiple|not a readable"),
    ],
    ids=["damaged", "half", "head", "empty", "html", "metres", "size", "strips"],
)
def test_what_is_not_the_image_is_refused_with_its_reason_and_nothing_is_left(
    reader: Reader, moto: Moto, tmp_path: Path, content: Callable[[], bytes], reason: str
) -> None:
    store(moto, content())
    with pytest.raises(BadImageError, match=reason):
        reader.read(10)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_read_that_was_stopped_goes_on_where_it_ended(reader: Reader, faulty: Proxy) -> None:
    whole = reader.read(10)
    once = received(faulty)
    faulty.clear()

    def stop(exchange: Exchange) -> None:
        if len(faulty.log) == 5:
            reader.stop.set()

    faulty.faults.append(stop)
    with pytest.raises(StoppedError):
        reader.read(10)
    assert received(faulty) < 0.8 * once
    faulty.faults.clear()
    reader.stop.clear()
    np.testing.assert_array_equal(reader.read(10), whole)
    assert received(faulty) < 1.2 * once


def test_a_read_by_hand_of_an_address_of_another_kind_is_refused(reader: Reader) -> None:
    for address in ("ftp://a/b.tif", "/a/b.tif", "http://127.0.0.1/a.tif?token=1"):
        scene = replace(reader.scene, image=StoredObject(address, 0, "e"))
        with pytest.raises(StoreError, match="http, https and s3 addresses only"):
            reader.images(10).size(scene)


def test_a_dry_run_predicts_the_bytes_of_the_fetch(put_item: Put, search: Fetch, tmp_path: Path) -> None:
    put_item(1)
    put_item(2, day=date(2022, 5, 6))
    dry = search(resolution=80, side=FULL // 8, dry_run=True)
    assert not (tmp_path / "out").exists()
    done = search(resolution=80, side=FULL // 8)
    assert dry.to_download == done.downloaded == 2
    assert dry.estimated_bytes - dry.received_bytes == pytest.approx(done.received_bytes, rel=0.2)


def test_files_can_be_kept_as_they_are(put_item: Put, search: Fetch, tmp_path: Path, faulty: Proxy) -> None:
    put_item(1)
    assert search(resolution=10, side=FULL, keep_jp2=True).decisions == {"kept": 1}
    assert files(tmp_path / "out")[f"{NAME}.tif"] == cog(1)
    assert entries(tmp_path / "out")[NAME].sha256
    assert received(faulty) < len(cog(1)) + (1 << 16)


def test_a_corrupt_image_is_not_fetched_again_unless_asked_and_the_other_collection_stands_in(
    put_item: Put, search: Fetch, tmp_path: Path, faulty: Proxy
) -> None:
    new = "sentinel-2-c1-l2a"
    put_item(1, collection=new, baseline="05.10", content=b"<Error>")
    assert search().decisions == {"corrupt": 1}
    faulty.clear()
    assert (search().failures, faulty.log) == ([], [])
    put_item(2)
    assert search().decisions == {"corrupt": 1, "kept": 1}
    put_item(1, collection=new, baseline="05.10")
    assert search(again=True).decisions == {"duplicate": 1, "kept": 1}
    assert set(files(tmp_path / "out")) == {"32ULA_20220501_S2A-104619.png", "manifest.jsonl"}
