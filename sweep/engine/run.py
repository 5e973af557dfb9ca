"""Run a study: its data and stores made ready, then supervised workers until it is whole."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import optuna
from filelock import FileLock, Timeout

from data_io.errors import DataError
from sweep.engine import agenda
from sweep.engine.devices import available_cores, place, visible_gpus
from sweep.engine.limits import Limits, ask_to_stop
from sweep.engine.observer import Observer
from sweep.engine.supervisor import Supervisor, no_space
from sweep.engine.worker import Spec
from sweep.engine.workers import Pool
from sweep.errors import UserError
from sweep.recovery import attempts
from sweep.recovery.heartbeat import this_process
from sweep.store.home import Home
from sweep.store.retry import is_away, is_disk_full
from sweep.store.secrets import redact
from sweep.store.storage import shown
from sweep.study import Plan, Study

if TYPE_CHECKING:
    from data_io.tiles.tileset import TileSet
    from sweep.store.links import LinkRun
    from sweep.tracking.registration import Registered
    from sweep.tracking.trackers import Tracker


@dataclass(frozen=True)
class Options:
    """Of one `sweep run` or `sweep worker`; None means the default."""

    scale: str = ""
    trials: int | None = None
    """Explore trials to add; None finishes what an interrupted run left open, or adds the plan's number."""
    workers: int | None = None
    workers_per_gpu: int = 1
    device: str | None = None
    seed: int = 0
    name: str | None = None
    timeout_s: float | None = None
    max_failures: int = 3
    max_retries: int = 2
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None


@dataclass(frozen=True)
class Finished:
    study: optuna.Study
    exit_code: int
    failures: int
    stopped: str | None


def run_study(study: Study, plan: Plan, options: Options, home: Home, observer: Observer) -> Finished:
    """Run a study's phases to their end; each trial ends in both stores whatever becomes of it.

    Raises:
        UserError: for everything that the user can mend, before anything is trained.
    """
    check_tracker(home)
    placing = place(visible_gpus(options.device), options.workers, options.workers_per_gpu, available_cores())
    # Before the number of trials caps the workers: a trial's threads, and so its bits, do not depend on it.
    threads = max(1, available_cores() // len(placing))
    if options.executor == "ray":
        placing = []  # this process places workers, and has none itself
    elif len(agenda.phases(plan, 0)) == 1:
        placing = placing[: options.trials or plan.trials]
    home.create()
    observer.say(f"preparing data and stores in {home.root}")
    with no_traceback(home), Pool(home, placing, threads) as pool:
        return _prepared(study, plan, options, home, observer, pool)


def _prepared(
    study: Study, plan: Plan, options: Options, home: Home, observer: Observer, pool: Pool
) -> Finished:
    """The heavy imports run while the workers do theirs."""
    from sweep.store.links import run_linker
    from sweep.store.provenance import collect
    from sweep.store.storage import open_optuna, read_all
    from sweep.tracking.registration import register, stored_name, tracker_for
    from sweep.tracking.sender import Sender

    tiles = load_tiles(plan, home)
    storage = open_optuna(home)
    name = stored_name(storage, study, options.scale, options.name)
    if name != study.name and options.name is None:
        observer.say(f"{study.name} in this store is of another scale; this one is recorded as {name}")
    with _study_lock(home, name):
        tracker = tracker_for(home, storage, name)
        if home.tracker not in (None, tracker.name):
            observer.say(f"the runs of {name} are in {tracker.title}, so new ones go there, too")
        home = tracker.home
        provenance = collect()
        sender = Sender(tracker, run_linker(storage))
        registered = register(storage, tracker, sender, name, study, options.scale, plan, tiles, provenance)
        stored = registered.study
        spec = Spec.of(
            home,
            study_name=name,
            plan=plan,
            experiment=registered.experiment,
            parent_run=registered.run_id,
            seed=options.seed,
            provenance=provenance,
        )
        pool.send_spec(spec)
        read_all(stored)
        ask_to_stop(stored, stop=False)
        stored.set_user_attr("seed", options.seed)
        _reconcile(stored, home, tracker, run_linker(storage), options, observer)
        # Only now: a trial that the last run left RUNNING is one that is asked for already.
        stored.set_user_attr("explore_total", agenda.explore_total(stored, options.trials, plan.trials))
        try:
            if options.executor == "ray":
                return _place_on_ray(stored, home, options, observer)
            return supervise(stored, home, spec, pool, options, observer, tracker)
        finally:
            _summarise(registered)
            sender.close()


def supervise(
    study: optuna.Study,
    home: Home,
    spec: Spec,
    pool: Pool,
    options: Options,
    observer: Observer,
    tracker: "Tracker",
) -> Finished:
    """Work on a registered study until it is whole or a limit is reached."""
    from sweep.store.links import run_linker
    from sweep.store.storage import open_optuna
    from sweep.tracking.sender import Postman

    limits = Limits(options.timeout_s, options.max_failures, observer.say)
    supervisor = Supervisor(study, home, spec, pool, limits, observer, options.max_retries)
    with limits, Postman(home.spool, tracker, run_linker(open_optuna(home))):
        supervisor.go()
    code = limits.exit_code(supervisor.failures)
    return Finished(study, code, supervisor.failures, limits.stopped)


def _place_on_ray(study: optuna.Study, home: Home, options: Options, observer: Observer) -> Finished:
    from sweep.engine.ray import run_on_ray

    words = ["--max-retries", str(options.max_retries), "--max-failures", str(options.max_failures)]
    if options.device:
        words += ["--device", options.device]
    with Limits(options.timeout_s, options.max_failures, observer.say) as limits:
        run_on_ray(
            study,
            home,
            limits,
            observer.say,
            address=options.ray_address,
            workers=options.workers,
            workers_per_gpu=options.workers_per_gpu,
            options=words,
        )
        failures = len(attempts.given_up(study))
        return Finished(study, limits.exit_code(failures), failures, limits.stopped)


def _reconcile(
    study: optuna.Study,
    home: Home,
    tracker: "Tracker",
    link: "LinkRun",
    options: Options,
    observer: Observer,
) -> None:
    """What the last run left behind is put right before anything new is begun."""
    from sweep.recovery.findings import View
    from sweep.recovery.reconcile import reconcile

    try:
        view = View(study, home, tracker, link, options.max_retries, me=this_process(), full=False)
        for finding in reconcile(view, fix=True):
            observer.say(f"fixed: {finding.text}")
    except Exception as error:
        if is_away(error) or is_disk_full(error):
            raise
        what = redact(str(error)).splitlines()[0][:200]
        observer.say(f"the tracking store does not answer; training goes on without: {what}")


def load_tiles(plan: Plan, home: Home) -> "TileSet":
    """Raises UserError where the data is not usable."""
    from data_io import prepare

    try:
        tiles = prepare(plan.base.data, home.cache)
    except DataError as error:
        raise UserError(str(error)) from error
    if len(tiles.train) < 2:
        raise UserError(f"{plan.base.data.source} gives fewer than two training tiles: add images")
    return tiles


def _summarise(registered: "Registered") -> None:
    """What the study's parent run shows; metrics over the number of finished trials."""
    from sweep.store.summary import summarise

    summary = summarise(registered.study)
    run, done = registered.run, sum(summary.outcomes.values())
    if summary.best:
        run.metric("best_objective", summary.best.value, done)
        run.tags({"best_trial": summary.best.trial, "best_run_id": summary.best.run_id})
    run.metric("trials", done, done)
    run.end("FINISHED")


def check_tracker(home: Home) -> None:
    """Raises UserError if the home asks for a tracker that there is not."""
    from sweep.tracking.trackers import check

    if home.tracker is not None:
        check(home.tracker)


@contextlib.contextmanager
def no_traceback(home: Home) -> Iterator[None]:
    """A full disk and a store that stays away are for the user to mend."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise UserError(no_space(home)) from error
        if is_away(error):
            raise UserError(
                f"{shown(home.optuna_url)} does not answer any more: the same command goes on when it does"
            ) from error
        raise


@contextlib.contextmanager
def _study_lock(home: Home, name: str) -> Iterator[None]:
    """One `run` a study and home at a time; `sweep worker` joins it."""
    lock = FileLock(home.root / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{name!r} is being run by another process in {home.root}: wait for it, stop it, help it with "
            "`sweep worker`, or run under another name with --name"
        ) from None
    try:
        yield
    finally:
        lock.release()
