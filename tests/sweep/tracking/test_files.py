"""The tracker that keeps files: what a crash or a strange name leaves is still read."""

import json
from pathlib import Path

import pytest

from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.trackers import RefusedError, Tracker


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return trackers.build(Home(tmp_path, tracker="files"))


def test_a_line_that_was_cut_off_is_dropped_and_written_over(tracker: Tracker, tmp_path: Path) -> None:
    run_id = tracker.create("tiny", "tiny.0.abcd", "trial 000", {}, 0)
    tracker.metrics(run_id, [("loss", 1.0, 0, 0)])
    path = tmp_path / "files" / "tiny" / run_id / "metrics.jsonl"
    with path.open("ab") as file:
        file.write(b'["loss", 0.5, 0, 1')
    assert tracker.history(run_id, "loss") == [(0, 1.0)]
    tracker.metrics(run_id, [("loss", 0.25, 0, 1)])
    assert tracker.history(run_id, "loss") == [(0, 1.0), (1, 0.25)]
    assert [json.loads(line)[3] for line in path.read_text().splitlines()] == [0, 1]


def test_a_run_whose_process_died_while_making_it_is_made_anew(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "files/tiny/tiny.0.abcd").mkdir(parents=True)
    (tmp_path / "files/tiny/tiny.0.abcd/metrics.jsonl").touch()
    assert tracker.find("tiny", "tiny.0.abcd") is None
    run_id = tracker.create("tiny", "tiny.0.abcd", "trial 000", {}, 0)
    assert tracker.find("tiny", "tiny.0.abcd") == tracker.run(run_id)


def test_names_of_studies_make_no_paths(tracker: Tracker, tmp_path: Path) -> None:
    experiment = tracker.experiment("a/../b [1]*", "")
    run_id = tracker.create(experiment, "a/../b [1]*.0.abcd", "trial 000", {}, 0)
    tracker.metrics(run_id, [("loss", 1.0, 0, 0)])
    assert tracker.history(run_id, "loss") == [(0, 1.0)]
    assert len(list((tmp_path / "files").glob("*/*/run.json"))) == 1


def test_a_write_to_a_run_that_was_deleted_is_refused(tracker: Tracker) -> None:
    with pytest.raises(RefusedError, match=r"tiny\.0\.abcd"):
        tracker.tags("tiny.0.abcd", {"outcome": "budget"})
