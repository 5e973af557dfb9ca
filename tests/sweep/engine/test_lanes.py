"""Trials that train beside each other in one process are those that train one after another."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from sweep.engine.lanes import Shared, in_lanes
from tests.sweep.conftest import RUN, Lab
from tests.sweep.engine.faults import put_in
from tests.sweep.engine.lanes_study import MANY
from tests.sweep.processes import freeze, unread, wait_until, workers_of
from vae.training import checkpoint

STUDY = str(Path(__file__).parent / "lanes_study.py")
BESIDE = ("run", STUDY, "--scale", "smoke", "--device", "cpu", "--workers", "1")
TROUBLED = ("run", STUDY, "--scale", "laptop", "--device", "cpu", "--workers", "1")
LONG = ("--set", "epochs=40")
"""As in `undisturbed`."""
KILLS = 20


def _weights(lab: Lab, trial: FrozenTrial) -> dict[str, torch.Tensor]:
    path = lab.home / f"checkpoints/tiny/{trial.number}/model.pt"
    weights: dict[str, torch.Tensor] = checkpoint.load(path)["weights"]
    return weights


def _assert_same_bits(lab: Lab, reference: Lab) -> None:
    """Of the trials that both have ended: weights, results, and every number of every step."""
    lab.forget()
    others = {trial.params["seed"]: trial for trial in reference.finished()}
    mine = {trial.params["seed"]: trial for trial in lab.finished()}
    assert mine.keys() >= others.keys()
    for seed, other in others.items():
        assert mine[seed].value == other.value
        for name in ("steps", "epochs"):
            assert repr(lab.series(mine[seed], name)) == repr(reference.series(other, name))
        weights, wanted = _weights(lab, mine[seed]), _weights(reference, other)
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_trials_beside_one_that_diverges_raises_or_does_not_fit_have_the_bits_they_have_alone(
    lab: Lab, undisturbed: Lab
) -> None:
    done = lab.sweep(*TROUBLED, *LONG, "--lanes", "3", "--max-retries", "0")
    assert done.returncode == 1, done.stdout
    _assert_same_bits(lab, undisturbed)
    outcomes = {trial.number: trial.user_attrs["outcome"] for trial in lab.trials()}
    assert [outcomes[number] for number in range(4)] == ["budget", "budget", "nonfinite", "error"]
    assert set(outcomes.values()) == {"budget", "nonfinite", "error", "oom"}
    assert "2 trials failed" in done.stdout, "what does not fit alone either is given up, once"
    assert all(trial.state.is_finished() for trial in lab.trials())
    assert lab.doctor()["findings"] == []


MEASURED = ("quality_draws=24", "curvature_every=2", "optim.guard=rollback", "optim.lr_border_fraction=0.3")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), MEASURED], ids=["plain", "measured"])
def test_a_study_in_three_lanes_is_whole_and_has_the_bits_of_one_lane(
    labs: Callable[..., Lab], settings: tuple[str, ...]
) -> None:
    one, three = labs("one", SWEEP_TRACKER="files"), labs("three", SWEEP_TRACKER="files")
    words = [word for setting in ("epochs=10", *settings) for word in ("--set", setting)]
    for lab, lanes in ((one, "1"), (three, "3")):
        done = lab.sweep(*BESIDE, "--lanes", lanes, "--trials", "8", *words)
        assert done.returncode == 0, done.stdout
    three.assert_whole(list(range(8)), one)
    _assert_same_bits(three, one)


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@NEEDS_GPU
def test_every_lane_has_a_stream_of_its_own() -> None:
    streams = {torch.cuda.current_stream().stream_id}

    def work(_: int) -> None:
        streams.add(torch.cuda.current_stream().stream_id)

    in_lanes(4, work, on_gpu=True)
    assert len(streams) == 5


@pytest.mark.gpu
@pytest.mark.slow
@NEEDS_GPU
def test_on_a_gpu_trials_in_eight_lanes_have_the_bits_of_one_lane(labs: Callable[..., Lab]) -> None:
    one, eight = labs("one", SWEEP_TRACKER="files"), labs("eight", SWEEP_TRACKER="files")
    for lab, lanes in ((one, "1"), (eight, "8")):
        done = lab.sweep(*BESIDE, "--device", "cuda:0", "--lanes", lanes, "--set", "epochs=10")
        assert done.returncode == 0, done.stdout
    eight.assert_whole(list(MANY), one)
    _assert_same_bits(eight, one)


def _in_the_middle(lab: Lab, process: subprocess.Popen[str], lanes: int) -> psutil.Process:
    """The only worker, frozen when every lane has written a checkpoint of its trial and none has ended."""
    states = [lab.home / f"checkpoints/tiny/{number}/state.pt" for number in range(lanes)]
    wait_until(lambda: all(state.exists() for state in states), poll_s=0.01)
    (worker,) = workers_of(process)
    freeze(lab, worker)
    return worker


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["files", "mlflow"])
def test_sigterm_leaves_the_trials_of_all_lanes_which_then_end_as_if_nothing_had_been(
    labs: Callable[..., Lab], undisturbed: Lab, tracker: str
) -> None:
    lab = labs("home", SWEEP_TRACKER=tracker)
    words = (*RUN, "--workers", "1", *LONG, "--trials", "2", "--lanes", "2")
    process = lab.start(*words)
    worker = _in_the_middle(lab, process, lanes=2)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: unread(worker))
    worker.resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out
    assert [trial.user_attrs["outcome"] for trial in lab.trials()[:2]] == ["interrupted"] * 2
    assert [trial.state for trial in lab.trials()[2:]] == [TrialState.WAITING] * 2
    done = lab.sweep(*words)
    assert done.returncode == 0, done.stdout
    assert [trial.user_attrs["retries"] for trial in lab.finished()] == [0, 0]
    lab.assert_whole([0, 1], undisturbed)
    _assert_same_bits_of_roots(lab, undisturbed)


def _assert_same_bits_of_roots(lab: Lab, reference: Lab) -> None:
    """Of attempts that went on: the weights of each are under its own number."""
    others = {trial.params["seed"]: trial for trial in reference.finished()}
    for trial in lab.finished():
        wanted = _weights(reference, others[trial.params["seed"]])
        found = _weights(lab, trial)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.slow
def test_a_card_that_is_full_gets_fewer_lanes_and_no_trial_is_charged_with_it(
    lab: Lab, tmp_path: Path
) -> None:
    full = put_in(tmp_path / "faults", room=2)
    words = (*BESIDE, "--lanes", "4", "--trials", "6", "--max-retries", "0", "--set", "epochs=10")
    process = lab.start(*words, **full)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    assert "did not fit beside others, so worker 0 runs 2 at a time" in out
    assert [trial.user_attrs.get("retries", 0) for trial in lab.finished()] == [0] * 6
    lab.assert_whole(list(range(6)))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_crash_is_charged_to_the_trial_that_was_alone_in_it(lab: Lab, tmp_path: Path) -> None:
    """One trial kills its process whenever it is begun; those beside it lose nothing."""
    deadly = put_in(tmp_path / "faults", deadly=2)
    words = (*BESIDE, "--lanes", "4", "--trials", "6", "--max-retries", "1", "--set", "epochs=10")
    process = lab.start(*words, **deadly)
    out, _ = process.communicate(timeout=280)
    assert process.returncode == 1, out
    assert "1 trials failed" in out
    finished = {trial.params["seed"]: trial for trial in lab.finished()}
    assert sorted(finished) == [0, 1, 3, 4, 5]
    assert {trial.user_attrs.get("retries", 0) for trial in finished.values()} == {0}
    attempts = [trial for trial in lab.trials() if trial.params.get("seed") == 2]
    assert {trial.user_attrs["outcome"] for trial in attempts} == {"crashed"}
    assert attempts[-1].user_attrs["retries"] == 1
    assert lab.doctor()["findings"] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_process_of_eight_lanes_killed_at_twenty_random_moments(labs: Callable[..., Lab]) -> None:
    """Nothing is lost, nothing is run twice, and every trial ends as if it had never been disturbed."""
    dice = random.Random(0)
    whole, lab = labs("whole", SWEEP_TRACKER="files"), labs("home")
    epochs = ("--set", "epochs=60")
    done = whole.sweep(*BESIDE, "--lanes", "1", *epochs)
    assert done.returncode == 0, done.stdout
    words = (*BESIDE, "--lanes", "8", *epochs, "--max-retries", "1000", "--max-failures", "1000")
    process, beside, before = lab.start(*words), list[int](), 0
    while len(beside) < KILLS:
        if process.poll() is not None:
            assert process.returncode < 0, "the study was over too soon"
            process = lab.start(*words)
        # An attempt that was cut off runs in the store until somebody has noticed.
        wait_until(lambda: _begun(lab, before) or process.poll() is not None)  # noqa: B023
        time.sleep(dice.uniform(0, 1.5))
        at_work, before = len(_begun(lab, before)), len(lab.trials())
        if _kill(process, dice):
            beside.append(at_work)
    out, _ = process.communicate(timeout=600)
    if process.returncode:
        assert process.returncode == -signal.SIGKILL, out
        done = lab.sweep(*words)
        assert done.returncode == 0, done.stdout
    print(f"kills with {beside} trials at work, {len(lab.trials()) - len(MANY)} were cut off")
    assert sum(at_work > 1 for at_work in beside) >= KILLS // 2
    lab.assert_whole(list(MANY), whole)
    _assert_same_bits_of_roots(lab, whole)
    mine = lab.client().search_runs([e.experiment_id for e in lab.client().search_experiments()])
    assert {run.info.status for run in mine if "trial" in run.data.tags} <= {"FINISHED", "FAILED", "KILLED"}


def _begun(lab: Lab, before: int) -> list[FrozenTrial]:
    """The attempts under way that a worker has begun, of those with this number or a larger one."""
    return [trial for trial in lab.running() if trial.number >= before and "run_key" in trial.user_attrs]


def _kill(process: subprocess.Popen[str], dice: random.Random) -> bool:
    """The worker, which its parent replaces, or the parent, with which its worker ends; if there is one."""
    try:
        workers = workers_of(process)
        if dice.random() < 0.5:
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            workers[0].kill()
        return bool(workers)
    except (psutil.NoSuchProcess, IndexError):
        return False


def test_what_lanes_share_is_made_once_and_the_last_ones_are_kept() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        time.sleep(0.01)
        made.append(key)
        return key.upper()

    shared = Shared(make, keep=2)
    found: list[str] = []
    in_lanes(4, lambda lane: found.append(shared("ab"[lane % 2])))
    assert sorted(found) == ["A", "A", "B", "B"]
    assert sorted(made) == ["a", "b"]
    assert [shared(key) for key in "abca"] == ["A", "B", "C", "A"]
    assert made[2:] == ["c", "a"], "c took the place of a, which was used least recently"


def test_lanes_work_at_the_same_time_and_a_single_one_is_the_thread_that_calls() -> None:
    meeting, threads = threading.Barrier(3, timeout=20), set()

    def meet(lane: int) -> None:
        meeting.wait()
        threads.add(threading.current_thread())

    in_lanes(3, meet)
    assert len(threads) == 3
    in_lanes(1, lambda lane: threads.add(threading.current_thread()))
    assert threading.current_thread() in threads


def test_what_a_lane_does_not_catch_ends_the_process() -> None:
    """No trial waits for a lane that is gone."""
    program = """
import threading
from sweep.engine.lanes import in_lanes
def work(lane):
    if lane == 1:
        raise SystemExit("enough")
    threading.Event().wait()
in_lanes(2, work)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"enough" in done.stderr
