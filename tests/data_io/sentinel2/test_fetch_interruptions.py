"""Killed processes, two at once, and failing requests all end with the folder of an undisturbed fetch."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest
from bucket import SIDE, FakeScene
from conftest import Fetch, Put, entries, files
from proxy import Exchange, Proxy, random_faults
from stac_api import StacApi
from test_fetch import ALL

from data_io.images.files import decode

DRIVER = """
import sys
from data_io.__main__ import main
print("ready", flush=True)
sys.exit(main(sys.argv[1:]))
"""


def start(url: str, out: Path, *more: str) -> "subprocess.Popen[str]":
    """Run the command line in a process of its own."""
    arguments = [
        "fetch", "--squares", ALL["squares"], "--from", ALL["first"], "--to", ALL["last"], "--out", str(out),
        "--side", str(SIDE), "--endpoint-url", url, "--threads", "4", "--processes", "1", *more,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        start_new_session=True,
    )


def wait_for(process: "subprocess.Popen[str]") -> None:
    """Wait until a fetch has succeeded; one that hangs is stopped, and shows where its threads are."""
    try:
        _, stderr = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr


@pytest.fixture(scope="module")
def undisturbed(weed: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The files of an undisturbed fetch, and the seconds it takes once it has started up."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    process = start(weed, out)
    assert process.stdout
    process.stdout.readline()
    begun = time.monotonic()
    wait_for(process)
    assert len(files(out)) == 31
    return files(out), time.monotonic() - begun


def kill(process: "subprocess.Popen[str]", out: Path, expected: dict[str, bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    for path in out.glob("*.png"):
        assert path.read_bytes() == expected[path.name]  # nothing half-written under its final name


def finish(url: str, out: Path, expected: dict[str, bytes]) -> None:
    """What was killed is completed by the next fetch."""
    wait_for(start(url, out))
    assert files(out) == expected
    assert len(entries(out)) == 42
    assert not list((out / ".fetch").glob("*.partial"))
    assert not list((out / ".fetch").glob("*.tmp"))


def test_killed_in_mid_download_and_started_again(
    counted: Proxy, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    half, killed, requests = threading.Event(), threading.Event(), itertools.count(1)

    def hold(exchange: Exchange) -> None:
        if exchange.is_image() and next(requests) == 12:
            exchange.hold = killed
            half.set()

    counted.faults = [hold]
    process = start(counted.url, out)
    assert half.wait(240)
    kill(process, out, undisturbed[0])
    killed.set()
    counted.clear()
    finish(counted.url, out, undisturbed[0])
    assert len(counted.received("TCI.jp2")) < 30  # the rest was there


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_25_random_moments_of_a_fetch(
    weed: str, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    rng = random.Random(4)
    for turn in range(25):
        out = tmp_path / str(turn)
        process = start(weed, out)
        assert process.stdout
        process.stdout.readline()
        time.sleep(rng.uniform(0, seconds))
        kill(process, out, expected)
        finish(weed, out, expected)


@pytest.mark.slow
def test_reads_by_ranges_killed_and_started_again(
    api: StacApi, put_item: Put, faulty: Proxy, tmp_path: Path
) -> None:
    for number in range(1, 7):
        put_item(number, day=date(2022, 5, 5 * number - 4))
    more = ["--stac", api.url, "--collection", "sentinel-2-l2a", "--resolution", "10", "--threads", "2"]
    side = ["--side", str(6 * SIDE)]
    faulty.faults.append(lambda exchange: setattr(exchange, "delay", 0.02))
    wait_for(start("http://127.0.0.1:9", tmp_path / "undisturbed", *more, *side))
    expected = files(tmp_path / "undisturbed")
    assert len(expected) == 7
    rng = random.Random(5)
    for turn in range(6):
        out = tmp_path / str(turn)
        process = start("http://127.0.0.1:9", out, *more, *side)
        assert process.stdout
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while not (out / ".fetch").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        for path in out.glob("*.png"):
            assert path.read_bytes() == expected[path.name]
        wait_for(start("http://127.0.0.1:9", out, *more, *side))
        assert files(out) == expected
        assert not list((out / ".fetch").glob("*.partial"))
        assert not list((out / ".fetch").glob("*.tmp"))


def test_two_processes_fetching_into_one_folder(
    counted: Proxy, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pair = [start(counted.url, out) for _ in range(2)]
    for process in pair:
        wait_for(process)
    assert files(out) == undisturbed[0]
    assert len(entries(out)) == 42
    once = [path.stat().st_size for path in out.glob("*.png")]
    assert len(once) == 30
    assert sum(1 for _, path, _ in counted.log if path.endswith("TCI.jp2")) == 30  # each by one of them


def test_5_percent_of_requests_failing_at_random(
    counted: Proxy, run: Fetch, tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    hits = [0]
    faults = random_faults(0.05, seed=11)

    def count(exchange: object) -> None:
        before = vars(exchange).copy()
        faults(exchange)  # type: ignore[arg-type]
        hits[0] += vars(exchange) != before

    counted.faults.append(count)
    report = run(counted, **ALL, attempts=6)
    assert hits[0] >= 3
    assert report.failures == []
    assert files(tmp_path / "out") == undisturbed[0]


def test_never_more_than_16_kib_of_a_metadata_xml(
    counted: Proxy, run: Fetch, scenes: list[FakeScene]
) -> None:
    run(counted, **ALL)
    received = counted.received("metadata.xml")
    assert len(received) == len(scenes)
    assert max(received.values()) <= 16384
    for scene in scenes[:1]:
        whole = next(content for key, content in scene.objects() if key.endswith("metadata.xml"))
        assert len(whole) > 2 * 16384


def test_the_images_are_those_of_the_bucket(
    undisturbed: tuple[dict[str, bytes], float], scenes: list[FakeScene], tmp_path: Path
) -> None:
    for name in ("32ULA_20220501_0", "33UUP_20220201_1"):
        scene = next(scene for scene in scenes if scene.name == name)
        (tmp_path / "a.jp2").write_bytes(dict(scene.objects())[f"{scene.root}R60m/TCI.jp2"])
        (tmp_path / "a.png").write_bytes(undisturbed[0][f"{name}.png"])
        assert (decode(tmp_path / "a.jp2") == decode(tmp_path / "a.png")).all()
