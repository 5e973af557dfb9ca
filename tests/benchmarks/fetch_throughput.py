"""Compare `fetch` with a script in the paper's style, against one SeaweedFS server on 127.0.0.1.

    python tests/benchmarks/fetch_throughput.py [--latency MS]

The script lists everything of the squares, reads each scene's whole metadata, and downloads one image after
the other. Both store the same files; --latency delays each answer, as a distant bucket does.
"""

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "data_io" / "sentinel2"))

import bucket
import conftest
from proxy import Exchange, Proxy

from data_io.sentinel2.fetch import fetch
from data_io.sentinel2.metadata import parse_quality


def papers_way(url: str, out: Path) -> dict[str, bytes]:
    """List everything, whole metadata, one download after the other; the images by scene."""
    client = conftest.client_of(url)
    images = {}
    for prefix in ("tiles/32/U/LA/", "tiles/32/U/LB/", "tiles/33/U/UP/"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket.BUCKET, Prefix=prefix):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("metadata.xml"):
                    continue
                xml = client.get_object(Bucket=bucket.BUCKET, Key=item["Key"])["Body"].read()
                quality = parse_quality(xml)
                if quality.cloud_percent > 5 or quality.nodata_percent > 5:
                    continue
                key = item["Key"].replace("metadata.xml", "R60m/TCI.jp2")
                path = out / key.replace("/", "_")
                client.download_file(bucket.BUCKET, key, str(path))
                images[key] = path.read_bytes()
    return images


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=50, help="milliseconds added to each answer")
    latency = parser.parse_args().latency / 1000
    scenes = [scene for scene in bucket.archive() if scene.sequence == 0]  # the script knows no duplicates
    scenes += [
        bucket.FakeScene(square, date(2022, 7, day), seed=300 + 31 * s + day)
        for s, square in enumerate(("32ULA", "32ULB", "33UUP"))
        for day in range(1, 32)
    ]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        serve = conftest.serve_weed(home / "weed", scenes)
        url = next(serve)
        proxy = Proxy(url)

        def slow(exchange: Exchange) -> None:
            exchange.delay = latency

        proxy.faults.append(slow)
        try:
            (home / "script").mkdir()
            begun = time.perf_counter()
            expected = papers_way(proxy.url, home / "script")
            script = time.perf_counter() - begun
            requests = len(proxy.log)
            proxy.log.clear()
            config = conftest.config(
                proxy.url,
                squares="32ULA,32ULB,33UUP",
                first="2022-01-01",
                last="2022-12-31",
                out=home / "fetch",
                keep_jp2=True,
                threads=16,
                unsigned=True,
            )
            begun = time.perf_counter()
            report = fetch(config)
            ours = time.perf_counter() - begun
            got = {path.read_bytes() for path in (home / "fetch").glob("*.jp2")}
            same = got == set(expected.values()) and report.downloaded == len(expected)
            print(f"latency {latency * 1000:g} ms, {len(scenes)} scenes met, {len(expected)} kept")
            print(
                f"script: {script:.2f} s, {requests} requests; fetch: {ours:.2f} s, {len(proxy.log)} requests"
            )
            print(
                f"fetch is {script / ours:.1f} times as fast, results {'are the same' if same else 'DIFFER'}"
            )
        finally:
            proxy.close()
            serve.close()


if __name__ == "__main__":
    main()
