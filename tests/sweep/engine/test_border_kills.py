"""A map that is made while its processes are killed is the one that was never disturbed."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from sweep.store.trials import TrialView
from tests.sweep.conftest import Lab
from tests.sweep.processes import kill_at_random, wait_until

BORDER = ("run", str(Path(__file__).parent / "tiny_border_study.py"), "--scale", "smoke", "--device", "cpu")
TWO = (*BORDER, "--workers", "2", "--max-retries", "1000", "--max-failures", "1000")
KILLS = 20


def _map(lab: Lab) -> dict[str, dict[str, Any]]:
    """Of the nonfinite border, by the name of the column."""
    document = json.loads(lab.sweep("map", "tiny", "--json").stdout)
    return {column["name"]: column for column in document["labels"]["nonfinite"]["columns"]}


def _asked(trial: FrozenTrial) -> str:
    """All that tells one run of a border study from another; of one killed before it knew, its request."""
    params = trial.system_attrs["fixed_params"] | trial.params
    return json.dumps(
        [TrialView(trial).phase, trial.user_attrs["seed"], params, TrialView(trial).settings], sort_keys=True
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_twenty_random_moments_a_map_is_whole(labs: Callable[..., Lab]) -> None:
    """With two workers; and one worker finds the same border, within the bands of both."""
    whole, lab = labs("whole"), labs("home")
    assert whole.sweep(*BORDER, "--workers", "1").returncode == 0
    dice = random.Random(0)
    process = lab.start(*TWO)
    kills = 0
    while kills < KILLS:
        if process.poll() is not None:
            assert process.returncode < 0, "the map was over too soon"
            process = lab.start(*TWO)
        wait_until(lambda: lab.running() or process.poll() is not None)  # noqa: B023
        time.sleep(dice.uniform(0, 1))
        kills += kill_at_random(process, dice)
    process.communicate(timeout=200)
    done = lab.sweep(*TWO)
    assert done.returncode == 0, done.stdout
    trials = lab.trials()
    assert all(trial.state.is_finished() for trial in trials)
    told = [_asked(trial) for trial in trials if trial.state is not TrialState.FAIL]
    assert len(set(told)) == len(told), "no run is made twice"
    assert {_asked(trial) for trial in trials} == set(told), "none is lost"
    assert lab.doctor()["findings"] == []
    for name, border in _map(lab).items():
        other = _map(whole)[name]
        assert border["status"] == other["status"] == "found"
        assert max(border["low"], other["low"]) < min(border["high"], other["high"])
