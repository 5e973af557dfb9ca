"""SIGKILL at named points and at random moments: afterwards the study is the one never disturbed."""

import random
import time
from collections.abc import Callable

import pytest

from tests.sweep.conftest import RUN, Lab, Prepared, make_lab
from tests.sweep.processes import kill_at_random, kill_tree, wait_until, workers_of

RUN_TWO = (*RUN, "--workers", "2", "--max-retries", "1000", "--max-failures", "1000")
SHORT, LONG = ("--set", "epochs=12"), ("--set", "epochs=500")
KILLS = 50


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Lab:
    lab = make_lab(tmp_path_factory.mktemp("undisturbed") / "home", prepared)
    lab.run(*SHORT, "--workers", "2", "--trials", "4")
    return lab


@pytest.fixture
def lab(labs: Callable[..., Lab]) -> Lab:
    """One that records in MLflow, where a point that is written twice is kept twice."""
    return labs("home")


def _asked(lab: Lab) -> bool:
    return any("run_key" not in trial.user_attrs for trial in lab.running())


def _run_made(lab: Lab) -> bool:
    return any("run_key" in trial.user_attrs for trial in lab.running())


def _in_mid_epoch(lab: Lab) -> bool:
    return any(trial.intermediate_values for trial in lab.running())


def _checkpoint_being_written(lab: Lab) -> bool:
    return bool(list(lab.home.glob("checkpoints/tiny/*/state.pt.*.partial")))


def _about_to_tell(lab: Lab) -> bool:
    """About to end its run and then the trial."""
    return any("train_seconds" in trial.user_attrs for trial in lab.running())


# What dies: both workers, which the parent replaces, or everything, which `run` takes up again.
POINTS = [
    (_asked, "workers"),
    (_asked, "everything"),
    (_run_made, "everything"),
    (_in_mid_epoch, "workers"),
    (_checkpoint_being_written, "everything"),
    (_about_to_tell, "workers"),
    (_about_to_tell, "everything"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "whom"), POINTS, ids=[f"{point.__name__.strip('_')}-{whom}" for point, whom in POINTS]
)
def test_killed_at_a_named_point(lab: Lab, undisturbed: Lab, point: Callable[[Lab], bool], whom: str) -> None:
    process = lab.start(*RUN_TWO, *SHORT, "--trials", "4")
    wait_until(lambda: point(lab), timeout_s=200, poll_s=0.002)
    if whom == "workers":
        for worker in workers_of(process):
            worker.kill()
        out, _ = process.communicate(timeout=250)
        assert process.returncode == 0, out
    else:
        kill_tree(process.pid)
        done = lab.sweep(*RUN_TWO, *SHORT)
        assert done.returncode == 0, done.stdout
    lab.assert_whole([0, 1, 2, 3], undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_fifty_random_moments(labs: Callable[..., Lab]) -> None:
    """A worker or two, or the parent with them, while trials run; then the study is completed."""
    dice = random.Random(0)
    whole, lab = labs("whole"), labs("home")
    whole.run(*LONG, "--workers", "2")
    process = lab.start(*RUN_TWO, *LONG, "--trials", "12")
    kills = 0
    while kills < KILLS and len(lab.finished()) < 12:
        if process.poll() is not None:
            process = lab.start(*RUN_TWO, *LONG)
        wait_until(lambda: lab.running() or process.poll() is not None, timeout_s=200)  # noqa: B023
        time.sleep(dice.uniform(0, 1.5))
        kills += kill_at_random(process, dice)
    process.communicate(timeout=900)
    if len(lab.finished()) < 12:
        done = lab.sweep(*RUN_TWO, *LONG)
        assert done.returncode == 0, done.stdout
    print(f"{kills} kills, {len(lab.trials()) - 12} attempts were cut off")
    assert kills >= KILLS, "the study was over too soon"
    lab.assert_whole(list(range(12)), whole)
