"""A report of many trials: how long it takes, how large it is."""

import time
from pathlib import Path

import pytest

from sweep.report import write_report
from sweep.store.storage import load, open_optuna
from tests.sweep.report.stores import depth_plan, explored, in_blocks, store


@pytest.mark.slow
@pytest.mark.parametrize(("count", "seconds", "megabytes"), [(1_000, 20, 15), (10_000, 90, 40)])
def test_many_trials_make_a_page_that_is_soon_written_and_opens(
    tmp_path: Path, count: int, seconds: float, megabytes: float
) -> None:
    """The seconds are of this process's CPU: what else the machine does is no concern of the report."""
    plan = depth_plan()
    repeats = len(in_blocks(plan, explored(plan, count)))
    explore = explored(plan, count - repeats)
    home = store(tmp_path / "home", explore + in_blocks(plan, explore))
    started = time.process_time()
    path, document = write_report(home, load(open_optuna(home), "depth_study"))
    assert time.process_time() - started < seconds
    assert path.stat().st_size < megabytes * 1e6
    assert document["trials"]["complete"] == count
