"""The mapper in anyone's own ask and tell, through a real store and real processes."""

import math
import subprocess
import sys
import threading
from pathlib import Path

import optuna
from optuna.trial import TrialState

from sweep.border.sampler import BorderSampler

HEIGHTS = {2: -3.05, 4: -2.8, 8: -2.35}


def sampler() -> BorderSampler:
    return BorderSampler({"lr": (1e-5, 1e-1)}, {"depth": (2, 4, 8)}, seeds=(0, 1))


def ask_and_tell(study: optuna.Study) -> None:
    own = study.sampler
    assert isinstance(own, BorderSampler)
    while not own.is_done(study):
        trial = study.ask(own.space)
        study.tell(trial, float(math.log10(trial.params["lr"]) > HEIGHTS[trial.params["depth"]]))


def check(study: optuna.Study) -> None:
    own = study.sampler
    assert isinstance(own, BorderSampler)
    for row, height in zip(own.model(study).columns, HEIGHTS.values(), strict=True):
        assert row.low is not None
        assert row.high is not None
        assert row.low <= height <= row.high
        assert row.high - row.low < 0.6


def test_a_study_maps_its_border(tmp_path: Path) -> None:
    study = optuna.create_study(sampler=sampler())
    ask_and_tell(study)
    check(study)
    assert len(study.trials) < 60


def test_two_threads_share_a_study_and_do_not_run_the_same_twice(tmp_path: Path) -> None:
    study = optuna.create_study(sampler=sampler())
    threads = [threading.Thread(target=ask_and_tell, args=(study,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(study)


def test_processes_on_one_store_go_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(study_name="border", storage=url)
    script = (
        "import optuna, sys; from tests.sweep.border.test_sampler import ask_and_tell, sampler\n"
        f"ask_and_tell(optuna.load_study(study_name='border', storage={url!r}, sampler=sampler()))\n"
    )
    root = Path(__file__).parents[3]
    first = subprocess.Popen([sys.executable, "-c", script], cwd=root)
    study = optuna.load_study(study_name="border", storage=url, sampler=sampler())
    while len(study.get_trials(states=(TrialState.COMPLETE,))) < 5:
        assert first.poll() is None
    first.kill()
    first.wait()
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    others = [subprocess.Popen([sys.executable, "-c", script], cwd=root) for _ in range(2)]
    assert [process.wait() for process in others] == [0, 0]
    check(study)
