"""A complete fetch from a real S3 server."""

from pathlib import Path

from bucket import FakeScene, objects
from conftest import Fetch, entries, files
from proxy import Proxy

ALL = {"squares": "32U,33UUP", "first": "2022-01-01", "last": "2022-12-31"}


def test_a_fetch_keeps_what_passes_and_records_why_the_rest_does_not(
    counted: Proxy, run: Fetch, tmp_path: Path, scenes: list[FakeScene]
) -> None:
    report = run(counted, **ALL)
    assert report.failures == []
    assert len(list(objects(scenes))) > 1000
    assert report.decisions == {"cloudy": 3, "duplicate": 6, "kept": 30, "nodata": 3}
    found = entries(tmp_path / "out")
    assert set(found) == {scene.name for scene in scenes}
    images = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert images == {f"{name}.png" for name, entry in found.items() if entry.decision == "kept"}
    assert found["32ULA_20220201_1"].decision == "kept"
    assert "32ULA_20220201_1" in found["32ULA_20220201_0"].reason
    before = files(tmp_path / "out")
    counted.clear()
    again = run(counted, **ALL)
    assert (again.downloaded, again.already_there) == (0, 30)
    assert {method for method, path, _ in counted.log if "list-type" not in path} == set()
    assert files(tmp_path / "out") == before
