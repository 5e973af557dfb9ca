"""Images that are not what they should be, and folders that take no more."""

import errno
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bucket import ONE, TWO, jp2
from conftest import Fetch, Put, corrupted, entries, files
from proxy import Proxy

from data_io.errors import DataError


def test_an_error_document_stored_as_an_image_is_corrupt(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"})
    assert run(faulty).decisions == {"corrupt": 1, "kept": 1}
    assert "XML or HTML document" in entries(tmp_path / "out")[ONE.name].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jp2(1, side=200), "200 x 200 pixels, not 192 x 192"),
        (jp2(1, mode="L"), "pixels are L, not RGB"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 500, "instead of a JPEG2000 file"),
        (jp2(1)[: len(jp2(1)) // 2], "cannot be decoded"),
    ],
    ids=["size", "grey", "png", "half"],
)
def test_an_unsuitable_image_is_corrupt_and_not_fetched_again_unless_asked(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, content: bytes, reason: str
) -> None:
    corrupted(put, extra={"R60m/TCI.jp2": content})
    report = run(faulty)
    assert report.decisions == {"corrupt": 1, "kept": 1}
    assert reason in entries(tmp_path / "out")[ONE.name].reason
    assert set(files(tmp_path / "out")) == {f"{TWO.name}.png", "manifest.jsonl"}
    faulty.clear()
    again = run(faulty)
    assert (again.decisions, again.failures) == ({"corrupt": 1, "kept": 1}, [])
    assert faulty.received("TCI.jp2") == {}
    assert len(run(faulty, again=True).failures) == 1


def test_a_full_disk_stops_the_fetch_and_a_later_one_continues(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(*[replace(ONE, day=date(2022, 5, day), seed=day) for day in range(1, 13)])

    def full(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("data_io.sentinel2.convert.tempfile.mkstemp", full)
        report = run(faulty, threads=2)
    assert "takes no more (No space left on device): make room" in report.failures[0]
    assert "not tried" in report.failures[-1]
    assert len(faulty.received("TCI.jp2")) < 8  # it gives up soon
    assert not list((tmp_path / "out").glob("*.png"))
    assert run(faulty).decisions == {"kept": 12}


def test_a_folder_that_cannot_be_written_is_one_sentence(
    faulty: Proxy, put: Put, run: Fetch, tmp_path: Path
) -> None:
    put(ONE)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--out"):
        run(faulty, out=tmp_path / "file" / "out")
    with pytest.raises(DataError, match="is a file"):
        run(faulty, out=tmp_path / "file")


def test_images_can_be_decoded_in_other_processes(
    faulty: Proxy, put: Put, run: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ONE, TWO)
    report = run(faulty, processes=2)
    assert report.decisions == {"kept": 2}
