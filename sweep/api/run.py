"""`sweep.run`: run a study from Python."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweep.api.events import EventObserver, RunEvent
from sweep.api.results import Results, find_home
from sweep.engine.limits import Stop
from sweep.engine.options import Options
from sweep.engine.run import run_study
from sweep.errors import UserError
from sweep.study import Study, load_study


def run(
    study: Study | str | os.PathLike[str],
    *,
    scale: str | None = None,
    trials: int | None = None,
    blocks: int | None = None,
    home: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    workers_per_gpu: int = 1,
    lanes: int | None = None,
    device: str | None = None,
    data: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    use_map: bool = True,
    seed: int = 0,
    name: str | None = None,
    timeout_s: float | None = None,
    max_failures: int = 3,
    max_retries: int = 2,
    storage: str | None = None,
    tracking_uri: str | None = None,
    checkpoint_uri: str | None = None,
    tracker: str | None = None,
    progress: Callable[[RunEvent], object] | None = None,
    stop: Stop | None = None,
) -> Results:
    """Run a study, or continue it with more trials, and return its results.

    Prints nothing and sets no signal handlers, so it can be called in a notebook and in a thread. On Ctrl-C
    the running trials write a checkpoint before KeyboardInterrupt is raised; the same call resumes them.

    Args:
        study: a `Study`, the name of a study that ships with the program, or the path of a module with one.
        scale: which of the study's plans; needed only where it has several and the default (paper with a
            GPU, laptop without) is not wanted.
        trials: explore trials to add; None finishes what an interrupted run left open, or adds the plan's
            number.
        blocks: blocks to have in the end, decided or not; None: as many as decide the claims, or time allows.
        home: the folder for everything that is written; default SWEEP_HOME, or ./mlruns.
        workers: processes that train; default one per GPU, or one per core.
        lanes: trials that each of them trains at the same time; default 1 on a CPU, on a GPU what pays.
        device: auto, cpu, cuda, or GPUs by number, such as cuda:0,1.
        data: a folder of images in place of the study's.
        settings: dotted config path -> value, such as {"model.latent_dim": 64}, for all trials.
        strategy: how a border is mapped. use_map: keep learning rates inside a border mapped before.
        seed: of the sampler and of the trials.
        name: the study's name in the store, in place of its own.
        timeout_s: start no more trials after so many seconds, and no block that would not end within them.
        max_failures: give up after so many failed trials in a row. max_retries: repeats of a failed trial.
        storage, tracking_uri, checkpoint_uri: stores other than the files in `home`.
        tracker: what records the runs: mlflow, files or wandb.
        progress: called with a `RunEvent` for everything that happens, in the thread of this call. If it
            raises, the run is left as on Ctrl-C and the exception is raised here.
        stop: ends the run from another thread.

    Raises:
        UserError: a mistake that the user can correct, or nothing works: several trials in a row failed.
    """
    place = find_home(home, storage, tracking_uri, checkpoint_uri, tracker)
    options = Options(
        scale=scale,
        data=None if data is None else os.fspath(data),
        settings=settings or {},
        strategy=strategy,
        use_map=use_map,
        name=name,
        trials=trials,
        blocks=blocks,
        seed=seed,
        timeout_s=timeout_s,
        workers=workers,
        workers_per_gpu=workers_per_gpu,
        lanes=lanes,
        device=device,
        max_failures=max_failures,
        max_retries=max_retries,
    )
    chosen = study if isinstance(study, Study) else load_study(os.fspath(study))
    stop = stop or Stop()
    observer = EventObserver(progress, stop)
    finished = run_study(chosen, options, place, observer, stop)
    if observer.error is not None:
        raise observer.error
    if finished.gave_up:
        logs = Path(place.logs)
        raise UserError(f"{finished.study.study_name}: {finished.stopped}; the workers' logs are in {logs}")
    return Results(place, finished.study.study_name, stopped=finished.stopped)
