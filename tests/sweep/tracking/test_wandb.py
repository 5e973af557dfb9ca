"""What W&B is given, read from the files that it writes without a network: each point once."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.trackers import NOTE, Tracker

pytest.importorskip("wandb")

BLOCK, FILE_HEADER, CHUNK_HEADER = 32768, 7, 7
HALF_SENT = """
import os, signal, sys
from pathlib import Path
from sweep.store.home import Home
from sweep.tracking import trackers
tracker = trackers.build(Home(Path(sys.argv[1]), tracker="wandb"))
run = tracker.create("tiny", "tiny.0.abcd", "trial 000", {}, 1000)
tracker.metrics(run, [("loss", 9.0, 1, 0)])
real = tracker._note
def die(run_id, sent):
    if sys.argv[2] == "after":
        real(run_id, sent)
    os.kill(os.getpid(), signal.SIGKILL)
tracker._note = die
tracker.metrics(run, [("loss", 8.0, 2, 1), ("kl", 1.0, 2, 1)])
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tracker="wandb").create()


@pytest.fixture
def tracker(home: Home) -> Tracker:
    return trackers.build(home)


def _records(path: Path) -> Iterator[Any]:
    """Of a .wandb file: a log as LevelDB writes it, of chunks that do not cross the ends of blocks."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole = path.read_bytes(), FILE_HEADER, b""
    while at + CHUNK_HEADER <= len(content):
        if BLOCK - at % BLOCK < CHUNK_HEADER:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        at += CHUNK_HEADER
        whole += content[at : at + length]
        at += length
        if kind in (1, 4):  # the full record, or its last chunk
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def _given(home: Home, kind: str) -> list[Any]:
    """Records of one kind, in the order of the runs' files."""
    paths = sorted(home.root.glob("wandb/offline-run-*/*.wandb"))
    return [getattr(r, kind) for path in paths for r in _records(path) if r.WhichOneof("record_type") == kind]


def _rows(home: Home) -> list[dict[str, str]]:
    rows = []
    for history in _given(home, "history"):
        values = {(i.key or ".".join(i.nested_key)): i.value_json for i in history.item}
        rows.append({key: value for key, value in values.items() if not key.startswith("_")})
    return rows


def test_a_run_is_given_whole_and_each_point_once(home: Home, tracker: Tracker, tmp_path: Path) -> None:
    from PIL import Image

    run = tracker.create("tiny", "tiny.0.abcd", "trial 000", {"outcome": "running"}, 1000)
    tracker.params(run, {"model.latent_dim": "4"})
    tracker.metrics(run, [("train/loss", 3.0, 1, 1), ("val/loss", 2.0, 1, 1), ("train/loss", 1.0, 2, 2)])
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    tracker.image(run, "sample/pictures", 2, tmp_path / "picture.png")
    tracker.file(run, "config.json", tmp_path / "picture.png")
    tracker.metrics(run, [("train/loss", 4.0, 3, 0)])  # late
    for _ in range(2):  # as if the answer had been lost
        tracker.tags(run, {"outcome": "budget", NOTE: "why"})
        tracker.end(run, "FINISHED", 2000)
    rows = _rows(home)
    assert [(row["at"], row.get("train/loss"), row.get("val/loss")) for row in rows] == [
        ("1", "3", "2"),
        ("2", "1", None),
        ("2", None, None),
        ("0", "4", None),
    ]
    assert any(key.startswith("sample/pictures") for key in rows[2])
    made, last = _given(home, "run")[0], _given(home, "run")[-1]
    assert (made.project, made.run_id.startswith("tiny.0.abcd-")) == ("tiny", True)
    assert last.notes == "why"
    config = {item.key: item.value_json for record in _given(home, "config") for item in record.update}
    assert config["model.latent_dim"] == '"4"'
    summary = {
        ".".join(item.nested_key) or item.key: item.value_json
        for record in _given(home, "summary")
        for item in record.update
    }
    assert summary["tag/outcome"] == '"budget"'
    saved = {file.path for record in _given(home, "files") for file in record.files}
    assert "config.json" in saved
    assert [ended.exit_code for ended in _given(home, "exit")] == [0]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_while_it_sends_loses_and_doubles_no_point(home: Home, moment: str) -> None:
    words = [sys.executable, "-c", HALF_SENT, str(home.root), moment]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    tracker = trackers.build(home)
    run = tracker.find("tiny", "tiny.0.abcd")
    assert run is not None
    assert run.metrics == {"loss": 8.0, "kl": 1.0}
    tracker.metrics(run.id, [("loss", 7.0, 3, 2)])
    tracker.end(run.id, "FINISHED", 2000)
    assert [row["loss"] for row in _rows(home)] == ["9", "8", "7"]
    assert [row.get("kl") for row in _rows(home)] == [None, "1", None]


def test_offline_nothing_is_asked_of_any_server(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        code = HALF_SENT.replace("signal.SIGKILL", "signal.SIGTERM")
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = os.environ | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "k" * 40}
        subprocess.run([sys.executable, "-c", code, str(home.root), "after"], env=environment, check=False)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_a_key_nothing_is_sent_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sweep.tracking.trackers.wandb import _mode

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert _mode() == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    (tmp_path / ".netrc").chmod(0o600)
    assert _mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert _mode() == "offline"


def test_where_it_is_not_installed_there_is_one_sentence(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder of that name, such as a home's, is not the package."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *[p for p in sys.path if "site-packages" not in p]])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UserError, match="--tracker wandb needs the package wandb: pip install wandb"):
        trackers.build(home)
