"""What must hold of every tracker is tested with each of them."""

from pathlib import Path

import pytest

from sweep.store.home import Home
from sweep.tracking import trackers
from sweep.tracking.trackers import Tracker
from tests.sweep.conftest import TRACKERS, Prepared


@pytest.fixture(params=TRACKERS)
def home(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared) -> Home:
    prepared.fill(tmp_path / "home", request.param)
    return Home(tmp_path / "home", tracker=request.param).create()


@pytest.fixture
def tracker(home: Home) -> Tracker:
    return trackers.build(home)


@pytest.fixture
def experiment(tracker: Tracker) -> str:
    return tracker.experiment("tiny", "A study.")
