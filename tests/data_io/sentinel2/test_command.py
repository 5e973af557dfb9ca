"""The command `fetch`: what it prints, and how it ends."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bucket import BUCKET, SIDE, FakeScene
from conftest import KEY, SECRET, WRONG, Put, entries, files
from proxy import Proxy
from stac_api import StacApi

from data_io import DataConfig, prepare
from data_io.__main__ import main

MAY = ("--squares", "32ULA,32ULB", "--from", "2022-05-01", "--to", "2022-05-31", "--side", str(SIDE))


def command(url: str, out: Path, *more: str) -> int:
    return main(["fetch", *MAY, "--out", str(out), "--endpoint-url", url, "--processes", "1", *more])


def test_a_second_run_downloads_nothing_and_says_so(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(counted.url, tmp_path) == 0
    assert "downloaded 6 scenes" in capsys.readouterr().out
    assert command(counted.url, tmp_path) == 0
    assert "nothing to download: all 6 wanted scenes are in" in capsys.readouterr().out
    assert (
        set(counted.received("TCI.jp2").values())
        == {entry.bytes for entry in entries(tmp_path).values()} - {None}
        or len(counted.received("TCI.jp2")) == 6
    )


def test_a_dry_run_writes_nothing_and_predicts_requests_bytes_and_cost(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(counted.url, out, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert not out.exists()
    assert counted.received("TCI.jp2") == {}
    for expected in ("6 scenes", "requests", "with Requester Pays", "$0.00 without", "prices of 2026"):
        assert expected in shown
    assert command(counted.url, out, "--dry-run", "--json") == 0
    predicted = json.loads(capsys.readouterr().out)
    counted.clear()
    assert command(counted.url, out, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert predicted["decisions"] == done["decisions"]
    assert predicted["estimated_requests"] == done["requests"]
    assert predicted["estimated_bytes"] == done["received_bytes"]
    assert sum(done["requests"].values()) == len(counted.log)


def test_limit_takes_the_earliest_and_a_later_run_the_rest(counted: Proxy, tmp_path: Path) -> None:
    assert command(counted.url, tmp_path, "--limit", "2") == 0
    assert set(files(tmp_path)) == {"32ULA_20220501_0.png", "32ULB_20220501_0.png", "manifest.jsonl"}
    assert command(counted.url, tmp_path) == 0
    assert len(files(tmp_path)) == 7


def test_keep_jp2_keeps_the_bytes_of_the_bucket(
    counted: Proxy, tmp_path: Path, scenes: list[FakeScene]
) -> None:
    assert command(counted.url, tmp_path, "--keep-jp2", "--limit", "1") == 0
    scene = next(scene for scene in scenes if scene.name == "32ULA_20220501_0")
    assert files(tmp_path)[f"{scene.name}.jp2"] == dict(scene.objects())[f"{scene.root}R60m/TCI.jp2"]
    assert command(counted.url, tmp_path, "--limit", "1") == 0  # as PNG, and not twice
    assert set(files(tmp_path)) == {f"{scene.name}.png", "manifest.jsonl"}


def test_info_and_prepare_read_a_fetched_folder(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    assert command(counted.url, out) == 0
    tile = ["--tile", "32", "--block-tiles", "1", "--gap", "0", "--min-std", "0", "--cache", str(cache)]
    capsys.readouterr()
    assert main(["info", str(out), *tile, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["fetched"]["decisions"] == {"kept": 6}
    assert summary["fetched"]["credit"] == "Contains modified Copernicus Sentinel data (2022)"
    assert {scene["place"] for scene in summary["scenes"]} == {"32ULA", "32ULB"}
    assert main(["info", str(out), *tile]) == 0
    assert "6 scenes found, of which 6 kept" in capsys.readouterr().out
    config = DataConfig(source=str(out), tile_size=32, block_tiles=1, gap=0, min_std=0)
    tiles = prepare(config, cache)
    split_of: dict[Any, str] = {}
    for split, origins in tiles.origins.items():
        for scene, y, x in origins.tolist():
            ground = (tiles.scenes[scene].place, y, x)
            assert split_of.setdefault(ground, split) == split  # no two dates of a place in two splits


def test_a_fetch_that_kept_nothing_says_so_and_info_says_why(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(counted.url, out, "--max-cloud", "0") == 0
    assert "nothing to download: no scene passes" in capsys.readouterr().out
    assert main(["info", str(out), "--cache", str(tmp_path / "cache")]) == 2
    assert f"a fetch kept no scene in {out} (6 cloudy): fetch with other dates" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--squares", "32ULI"], "--squares '32ULI' is not an MGRS square"),
        (["--squares", ","], "--squares is empty"),
        (["--from", "2022-5-1"], "--from '2022-5-1' is not valid: give a date"),
        (["--from", "2022-06-01"], "--from 2022-06-01 is after --to 2022-05-31"),
        (["--max-cloud", "101"], "--max-cloud 101.0 is not valid"),
        (["--max-cloud", "nan"], "--max-cloud nan is not valid"),
        (["--resolution", "30"], "--resolution 30 is not one of --source l2a, which has 60, 20 and 10"),
        (["--source", "cogs", "--resolution", "25"], "--resolution 25 is not valid"),
        (["--source", "cogs", "--resolution", "0"], "--resolution 0 is not valid"),
        (["--stac", "http://127.0.0.1:9"], "--stac http://127.0.0.1:9 needs --collection NAME"),
        (["--stac", "127.0.0.1", "--collection", "a"], "--stac is not an http"),
        (["--stac", f"http://{KEY}:{SECRET}@127.0.0.1:1", "--collection", "a"], "--stac is not an http"),
        (["--source", "l2a", "--collection", "a"], "--stac and --collection are for --source cogs"),
        (["--source", "cogs", "--profile", "nobody"], "profile 'nobody' cannot be used"),
        (["--source", "l1c"], "--source 'l1c' is not valid"),
        (["--limit", "0"], "--limit 0 is not valid"),
        (["--threads", "0"], "--threads 0 is not valid"),
        (["--requester-pays", "--unsigned"], "exclude each other"),
        (["--requester-pays"], "--requester-pays needs AWS credentials"),
        (["--profile", "nobody"], "profile 'nobody' cannot be used"),
        (["--endpoint-url", "127.0.0.1"], "--endpoint-url is not an http"),
        (["--endpoint-url", f"http://{KEY}:{SECRET}@127.0.0.1:1"], "leave them out"),
        (["--source", "cogs", "--keep-jp2"], "10 m images only"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("http://127.0.0.1:9", tmp_path / "out", *arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert message in err
    assert SECRET not in err
    assert not (tmp_path / "out").exists()


def test_another_resolution_in_the_same_folder_is_refused(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(counted.url, tmp_path, "--limit", "1") == 0
    assert command(counted.url, tmp_path, "--resolution", "20") == 2
    assert "holds scenes of --source l2a --resolution 60" in capsys.readouterr().err


def test_a_real_server_rejects_a_wrong_secret_and_the_message_does_not_repeat_it(
    weed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG)
    assert command(weed, tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "403 SignatureDoesNotMatch" in err
    assert "--profile" in err
    assert "--unsigned" in err
    assert WRONG not in err
    assert KEY not in err
    assert command(weed, tmp_path / "out", "--unsigned", "--limit", "1") == 0


def test_signed_requests_with_requester_pays(
    counted: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    payers: list[str | None] = []
    counted.before.append(lambda exchange: payers.append(exchange.headers.get("x-amz-request-payer")))
    assert command(counted.url, tmp_path, "--limit", "1", "--requester-pays") == 0
    assert set(payers) == {"requester"}


def test_failures_are_listed_and_the_exit_code_is_1(
    counted: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(exchange: Any) -> None:
        if exchange.is_image() and "/LA/2022/5/1/" in exchange.path:
            exchange.error(404, "NoSuchKey")

    counted.before.append(half)
    assert command(counted.url, tmp_path) == 1
    out, err = capsys.readouterr()
    assert "downloaded 5 scenes" in out
    assert f"32ULA_20220501_0: s3://{BUCKET}/tiles/32/U/LA/2022/5/1/0/R60m/TCI.jp2: S3 answered 404" in err


def test_the_command_line_stays_light() -> None:
    script = (
        "import sys, data_io.__main__ as m; m.main(['fetch', '--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"boto3", "botocore", "numpy", "torch", "PIL", "obstore", "pystac_client"}
    assert not heavy & set(done.stderr.split())


def test_another_stac_api_and_its_collections_are_named_on_the_command_line(
    api: StacApi, put_item: Put, faulty: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_item(1, day=date(2022, 5, 1))
    put_item(2, day=date(2022, 5, 6), collection="sentinel-2-c1-l2a")
    out = tmp_path / "out"
    stac = ["--stac", api.url, "--collection", "sentinel-2-l2a", "--collection", "sentinel-2-c1-l2a"]
    arguments = ["fetch", *MAY, "--out", str(out), "--processes", "1", "--resolution", "60", *stac]
    assert main([*arguments, "--dry-run", "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert main([*arguments, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert predicted["decisions"] == done["decisions"] == {"kept": 2}
    assert done["received_bytes"] == sum(faulty.received("TCI.tif").values()) - 2 * (
        1 << 15
    )  # of the dry run
    assert main(arguments) == 0
    assert "nothing to download: all 2 wanted scenes are in" in capsys.readouterr().out
    assert main([*arguments, "--resolution", "40", "--side", "288"]) == 2
    assert "holds scenes of --source cogs --resolution 60" in capsys.readouterr().err
    faulty.before.append(lambda exchange: exchange.error(404, "NoSuchKey"))
    assert main([*arguments, "--out", str(tmp_path / "other")]) == 1
    assert "TCI.tif: the server answered 404 NoSuchKey" in capsys.readouterr().err
