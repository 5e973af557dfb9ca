"""Bytes, requests and seconds to read one scene at each resolution, by ranges from a server on 127.0.0.1.

    python tests/benchmarks/range_reads.py [--latency MS] [--cut]

The scene has the size and layout of a real one (10980 x 10980 pixels, deflate, tiles of 1024). It is read
as `fetch` does, with the PNG that it writes, and by GDAL's /vsicurl with its retries, without one. --cut ends
every third answer in the middle.
"""

import argparse
import re
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.windows import Window

from data_io.sentinel2.access import Access
from data_io.sentinel2.catalogue import Scene
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.ranges import RangeImages
from data_io.sentinel2.remote import Remote
from data_io.sentinel2.s3 import StoredObject
from data_io.sentinel2.traffic import Traffic
from data_io.sources.sample import SAMPLE_FOLDER

SIDE = 10980
GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MAX_RETRY": "6",
    "GDAL_HTTP_RETRY_DELAY": "0.1",
    "GDAL_HTTP_RETRY_CODES": "ALL",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http://127.0.0.1",
}


class Server:
    """Serves one file by ranges, and counts requests and bytes."""

    def __init__(self, content: bytes, latency: float, cut: bool) -> None:
        self.requests = self.bytes = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                time.sleep(latency)
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                start = int(asked[1]) if asked else 0
                body = memoryview(content)[start : int(asked[2]) + 1 if asked else None]
                server.requests += 1
                self.send_response_only(206 if asked else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"a"')
                self.send_header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
                self.end_headers()
                if self.command == "HEAD":
                    return
                if cut and server.requests % 3 == 0:
                    body, self.close_connection = body[: len(body) // 2], True
                for begin in range(0, len(body), 1 << 18):
                    piece = body[begin : begin + (1 << 18)]
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        return
                    server.bytes += len(piece)

            def log_message(self, *_: Any) -> None: ...

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/TCI.tif"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def scene() -> bytes:
    """A scene made of the bundled ones, side by side."""
    parts = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(SAMPLE_FOLDER.glob("*.png"))]
    height, width = min(p.shape[0] for p in parts), min(p.shape[1] for p in parts)
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for number, (y, x) in enumerate((y, x) for y in range(0, SIDE, height) for x in range(0, SIDE, width)):
        part = parts[number % len(parts)][: min(height, SIDE - y), : min(width, SIDE - x)]
        pixels[y : y + height, x : x + width] = part[:: (-1) ** number]
    transform = rasterio.Affine(10, 0, 300_000, 0, -10, 5_900_040)
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"), MemoryFile() as plain, MemoryFile() as cog:
        shape: dict[str, Any] = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
        with plain.open(driver="GTiff", crs="EPSG:32632", transform=transform, **shape) as image:
            image.write(pixels.transpose(2, 0, 1))
        options = {"compress": "deflate", "predictor": 2, "blocksize": 1024, "overview_resampling": "average"}
        copy(plain.name, cog.name, driver="COG", **options)
        return bytes(cog.getbuffer())


def ours(url: str, resolution: int) -> None:
    """As `fetch` reads it, with the PNG that it writes."""
    remote = Remote(Access("us-west-2"), Traffic(), lambda count: None)
    images = RangeImages(remote, Decoder(1), resolution, None, False, 1, threading.Event())
    square: Any = None
    day: Any = None
    wanted = Scene("a", square, day, 0, url, StoredObject(url, 0, "a"), "item", None)
    with tempfile.TemporaryDirectory() as folder:
        images.fetch(wanted, Path(folder))


def vsicurl(url: str, resolution: int) -> None:
    """GDAL's own ranges, a row of tiles at a time."""
    level = {10: {}, 20: {"overview_level": 0}, 40: {"overview_level": 1}, 80: {"overview_level": 2}}
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}", **level[resolution]) as image:
        for top in range(0, image.height, 1024):
            image.read(window=Window(0, top, image.width, min(1024, image.height - top)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=30, help="milliseconds before each answer")
    parser.add_argument("--cut", action="store_true", help="end every third answer in the middle")
    given = parser.parse_args()
    content = scene()
    print(f"the whole file: {len(content) / 1e6:.1f} MB")
    readers: list[Callable[[str, int], None]] = [ours, vsicurl]
    for resolution in (80, 40, 20, 10):
        for reader in readers:
            server = Server(content, given.latency / 1000, given.cut)
            begun = time.perf_counter()
            try:
                reader(server.url, resolution)
                end = ""
            except Exception as error:
                end = f"; failed: {error}"
            seconds = time.perf_counter() - begun
            share = 100 * server.bytes / len(content)
            print(
                f"{resolution} m, {reader.__name__}: {server.bytes / 1e6:.2f} MB "
                f"({share:.1f} %), {server.requests} requests, {seconds:.2f} s{end}"
            )
            server.server.shutdown()


if __name__ == "__main__":
    main()
