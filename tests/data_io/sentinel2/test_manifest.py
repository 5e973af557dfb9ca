"""The last line about a scene counts, and no torn line does harm."""

from pathlib import Path

from data_io.sentinel2.manifest import MANIFEST, Decision, Entry, Manifest, summary


def entry(scene: str, decision: Decision = "kept", **more: object) -> Entry:
    usual = {"source": "l2a", "resolution": 60, "key": "k", "reason": "r"}
    return Entry.model_validate(usual | {"scene": scene, "decision": decision} | more)


def test_the_last_entry_of_a_scene_counts_and_compacting_keeps_it_alone(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    assert manifest.entries() == {}
    manifest.append([entry("b"), entry("a", "cloudy")])
    manifest.append([entry("a")])
    expected = {"a": entry("a"), "b": entry("b")}
    assert manifest.entries() == expected
    assert manifest.compact() == manifest.entries() == expected
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert [Entry.model_validate_json(line).scene for line in lines] == ["a", "b"]


def test_a_torn_line_is_skipped_and_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append([entry("a"), entry("b")])
    whole = (tmp_path / MANIFEST).read_bytes()
    end = whole.index(b"\n")
    for length in {*range(0, len(whole), 11), end - 1, end, end + 1, end + 2, len(whole) - 1, len(whole)}:
        (tmp_path / MANIFEST).write_bytes(whole[:length])
        manifest.append([entry("c")])
        assert manifest.entries()["c"] == entry("c")
        assert set(manifest.entries()) <= {"a", "b", "c"}


def test_the_summary_counts_decisions_and_credits_the_years_of_what_was_kept() -> None:
    found = [
        entry("32ULA_1", sensing_time="2020-05-01T10:00:00Z", bytes=3),
        entry("32ULB_1", sensing_time="2022-05-01T10:00:00Z", bytes=4),
        entry("32ULC_1", "cloudy", sensing_time="2024-05-01T10:00:00Z"),
    ]
    said = summary({each.scene: each for each in found})
    assert (said["scenes"], said["decisions"], said["squares"]) == (3, {"cloudy": 1, "kept": 2}, 2)
    assert (said["first"], said["last"], said["bytes"]) == ("2020-05-01", "2022-05-01", 7)
    assert str(said["credit"]).endswith("(2020-2022)")
    assert summary({})["credit"] is None
