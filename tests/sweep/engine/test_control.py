"""Stopping, limits, failures, pruning, a full disk."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from sweep.engine.devices import place, visible_gpus
from sweep.errors import UserError
from tests.sweep.conftest import RUN, STUDY, Lab, Prepared, make_lab
from tests.sweep.processes import freeze, hear, in_the_middle, wait_until, workers_of

ONE_WORKER = ("--workers", "1", "--set", "epochs=2")


def test_stop_finishes_what_runs_and_run_takes_it_up_again(lab: Lab) -> None:
    process = lab.start(*RUN, *ONE_WORKER)
    wait_until(lab.running)
    (worker,) = workers_of(process)
    freeze(lab, worker)
    assert lab.sweep("stop", "tiny").returncode == 0
    hear(process, "asked to stop: the running trials finish")
    worker.resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "it was asked to stop" in out
    done = len(lab.finished())
    assert 0 < done < 12
    assert len(lab.trials()) == done
    refused = lab.sweep("worker", "tiny")
    assert refused.returncode == 2, refused.stdout
    lab.run(*ONE_WORKER, "--trials", "1")
    lab.assert_whole(list(range(done + 1)))


def test_what_raises_is_tried_again_and_then_given_up(lab: Lab) -> None:
    """A device that is not there fails every attempt; its last lines are kept."""
    words = ("--set", "device=cuda", "--workers", "1", "--trials", "2", "--max-retries", "1")
    done = lab.sweep(*RUN, *words)
    assert done.returncode == 1, done.stdout
    assert [trial.state for trial in lab.trials()] == [TrialState.FAIL] * 4
    assert sorted(t.user_attrs.get("retries", 0) for t in lab.trials()) == [0, 0, 1, 1]
    assert {trial.user_attrs["outcome"] for trial in lab.trials()} == {"error"}
    assert "device cuda" in lab.trials()[0].user_attrs["reason"]
    assert "2 trials failed" in done.stdout
    assert lab.doctor()["findings"] == []


def test_failures_in_a_row_end_the_study(lab: Lab) -> None:
    words = ("--set", "device=cuda", "--workers", "1", "--max-retries", "0", "--max-failures", "2")
    done = lab.sweep(*RUN, *words)
    assert done.returncode == 1
    assert "2 trials failed in a row" in done.stdout
    assert len(lab.trials()) == 2


def test_what_does_not_fit_into_memory_is_an_outcome_of_its_own(lab: Lab) -> None:
    words = ("--set", "model.base_channels=300000", "--set", "model.max_channels=300000", "--trials", "1")
    done = lab.sweep(*RUN, *words, "--workers", "1")
    assert done.returncode == 1, done.stdout
    (trial,) = lab.trials()
    assert (trial.state, trial.user_attrs["outcome"]) == (TrialState.FAIL, "oom")
    assert trial.user_attrs["oom_batch_size"] == 64
    assert "batch of 64" in trial.user_attrs["reason"]
    run = lab.run_of(trial)
    assert (run.status, run.tags["outcome"]) == ("FAILED", "oom")


@pytest.mark.gpu
def test_a_worker_sees_the_gpu_it_was_given(lab: Lab) -> None:
    if not visible_gpus(None):
        pytest.skip("no GPU")
    done = lab.sweep("run", STUDY, "--scale", "smoke", "--device", "cuda:0", "--trials", "2")
    assert done.returncode == 0, done.stdout
    for trial in lab.finished():
        assert lab.run_of(trial).params["device"] == "cuda"


def test_a_trial_that_is_worse_than_its_peers_is_pruned(lab: Lab) -> None:
    """Without arms all are peers; the seeds' objectives differ, so that some are below the median."""
    module = lab.home / "pruned_study.py"
    text = Path(STUDY).read_text().replace("seed=seed", "").replace('fixed={"seed": seed}', "")
    module.write_text(text[: text.index("    arms=")] + text[text.index("    trials=") :])
    settings = ("--set", "pruner=median", "--set", "epochs=8", "--workers", "1", "--trials", "9")
    done = lab.sweep("run", str(module), "--scale", "smoke", "--device", "cpu", *settings)
    assert done.returncode == 0, done.stdout
    pruned = [trial for trial in lab.trials() if trial.state is TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["outcome"] == "pruned"
        assert 3 <= max(trial.intermediate_values) < 8
        run = lab.run_of(trial)
        assert (run.status, run.tags["outcome"]) == ("FINISHED", "pruned")
    assert lab.doctor()["findings"] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_the_study_goes_on(small_disk: Path, prepared: Prepared) -> None:
    lab = make_lab(small_disk / "home", prepared, SWEEP_TRACKER="files")
    words = ("--set", "epochs=30", "--workers", "1")
    process = lab.start(*RUN, *words, "--trials", "2")
    worker = in_the_middle(lab, process)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    worker.resume()
    out, _ = process.communicate(timeout=120)
    assert process.returncode in (1, 2), out
    assert "Traceback" not in out
    assert sum("no space is left" in line for line in out.splitlines()) == 1, out
    filler.unlink()
    lab.run(*words)
    lab.assert_whole([0, 1])
    lab.end()


@pytest.mark.parametrize(
    ("gpus", "workers", "per_gpu", "placing"),
    [
        ([], None, 1, ["", ""]),
        ([], 3, 2, ["", "", ""]),
        (["0", "1"], None, 1, ["0", "1"]),
        (["0", "1"], None, 2, ["0", "1", "0", "1"]),
        (["GPU-a", "GPU-b"], 3, 1, ["GPU-a", "GPU-b", "GPU-a"]),
        (["3"], 1, 4, ["3"]),
    ],
)
def test_workers_are_placed_on_gpus(
    gpus: list[str], workers: int | None, per_gpu: int, placing: list[str]
) -> None:
    assert place(gpus, workers, per_gpu, cores=2) == placing


def test_devices_are_chosen_among_those_that_are_shown() -> None:
    found = ["4", "6", "7"]
    assert visible_gpus("cpu", found) == []
    assert visible_gpus(None, found) == visible_gpus("auto", found) == visible_gpus("cuda", found) == found
    assert visible_gpus("cuda:0,2", found) == ["4", "7"]
    for wrong in ("cuda:3", "gpu", "cuda:x"):
        with pytest.raises(UserError):
            visible_gpus(wrong, found)
    with pytest.raises(UserError):
        visible_gpus("cuda", [])
