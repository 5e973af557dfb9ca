"""Run a study: prepare its data and stores, then supervise workers until it is complete."""

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock, Timeout

from data_io.errors import DataError
from sweep.engine import agenda
from sweep.engine.cores import available_cores
from sweep.engine.devices import place, visible_gpus
from sweep.engine.lane_count import choose_lanes, threads_of_a_lane, too_many_threads
from sweep.engine.limits import Limits, Stop, ask_to_stop
from sweep.engine.members import unshared, words_of
from sweep.engine.observer import Observer
from sweep.engine.options import Executor, Options
from sweep.engine.planning import cautions, choose_plan, time_for_blocks
from sweep.engine.supervisor import Supervisor, no_space
from sweep.engine.worker import Spec
from sweep.engine.workers import Pool
from sweep.errors import UserError
from sweep.recovery import attempts
from sweep.recovery.heartbeat import this_process
from sweep.store import keys
from sweep.store.home import Home
from sweep.store.optuna_internals import fresh, reread
from sweep.store.retry import is_away, is_disk_full
from sweep.store.secrets import redact
from sweep.store.storage import display_url
from sweep.store.study_view import StudyView
from sweep.store.trials import TrialView, views
from sweep.study import Plan, Study

if TYPE_CHECKING:
    from data_io.tiles.tileset import TileSet
    from sweep.store.links import LinkRun
    from sweep.tracking.registration import Registered
    from sweep.tracking.trackers import Tracker


@dataclass(frozen=True)
class Finished:
    """How a run ended.

    failures: trials that were given up. stopped: why it ended before the study was complete, or None.
    gave_up: whether it ended because nothing worked, such as several failures in a row or a full disk.
    """

    study: optuna.Study
    failures: int
    stopped: str | None
    gave_up: bool

    @property
    def failed(self) -> bool:
        return self.gave_up or self.failures > 0


def run_study(
    study: Study, options: Options, home: Home, observer: Observer, stop: Stop | None = None
) -> Finished:
    """Run a study's phases to their end; however a trial ends, both stores record it.

    A KeyboardInterrupt leaves the running trials, each with a checkpoint, and is raised again; the next run
    resumes them. No signal handler is set.

    stop: ends the run from another thread, or from a signal handler.

    Raises:
        UserError: a mistake of the user's, found before anything is trained.
    """
    check_tracker(home)
    check_executor(options)
    scale, plan = choose_plan(study, options)
    for caution in cautions(plan, home, study.plan(scale)):
        observer.say(caution)
    if options.use_map:
        plan = _inside_border(plan, home, observer)
    placing = place(visible_gpus(options.device), options.workers, options.workers_per_gpu, available_cores())
    lanes = choose_lanes(plan, options.lanes, placing, available_cores())
    # Before the number of trials caps the workers: a trial's threads, and so its bits, do not depend on it.
    threads = threads_of_a_lane(available_cores(), len(placing), lanes, on_gpu=bool(placing[0]))
    if options.executor is not Executor.LOCAL:
        placing = []  # this process places workers, and has none itself
        if local := unshared(home):
            observer.say(local)
    elif agenda.is_one_phase(plan):
        trials = options.trials or plan.trials
        placing = placing[:trials]
        lanes = min(lanes, math.ceil(trials / len(placing)))
    if slow := too_many_threads(plan, available_cores(), len(placing) * lanes):
        observer.say(slow)
    home.create()
    observer.say(f"preparing data and stores in {home.root}")
    with user_errors(home), Pool(home, placing, threads, lanes) as pool:
        return _run(study, scale, plan, options, home, observer, pool, stop or Stop())


def _inside_border(plan: Plan, home: Home, observer: Observer) -> Plan:
    """The plan with learning rates kept inside a border that was mapped in this home, where there is one."""
    from sweep.border.caps import with_caps

    capped, name = with_caps(plan, home)
    if name:
        arms = len(capped.caps)
        observer.say(f"learning rates of {arms} arms stay inside the border that {name} mapped (or --no-map)")
    return capped


def _with_stored_claims(stored: optuna.Study, plan: Plan, observer: Observer) -> Plan:
    """The plan with the claims that the study was begun with, as later ones came after its data."""
    begun = StudyView.of(stored).readable_plan
    if begun is None or begun.claims == plan.claims:
        return plan
    observer.say(
        f"the claims of {stored.study_name} were fixed when it was begun, and are judged as they were then: "
        "for those that were declared or changed since, run it under another --name"
    )
    return plan.model_copy(update={"claims": begun.claims})


def _run(
    study: Study,
    scale: str,
    plan: Plan,
    options: Options,
    home: Home,
    observer: Observer,
    pool: Pool,
    stop: Stop,
) -> Finished:
    """The heavy imports run here while the workers do theirs."""
    from sweep.store.links import run_linker
    from sweep.store.provenance import collect
    from sweep.store.storage import open_optuna, read_all
    from sweep.tracking.registration import register, stored_name, tracker_for
    from sweep.tracking.sender import Sender

    tiles = load_tiles(plan, home)
    for note in tiles.notes:
        observer.say(note)
    storage = open_optuna(home)
    name = stored_name(storage, study, scale, options.name)
    if name != study.name and options.name is None:
        observer.say(f"{study.name} in this store is of another scale; this one is recorded as {name}")
    with _study_lock(home, name):
        tracker = tracker_for(home, storage, name)
        if home.tracker not in (None, tracker.name):
            observer.say(f"the runs of {name} are in {tracker.title}, so new ones go there, too")
        home = tracker.home
        provenance = collect()
        sender = Sender(tracker, run_linker(storage))
        registered = register(storage, tracker, sender, name, study, scale, plan, tiles, provenance)
        stored = registered.study
        plan = _with_stored_claims(stored, plan, observer)
        spec = Spec.of(
            home,
            study_name=name,
            plan=plan,
            experiment=registered.experiment,
            parent_run=registered.run_id,
            seed=options.seed,
            provenance=provenance,
            lanes=pool.lanes,
        )
        pool.send_spec(spec)
        read_all(stored)
        ask_to_stop(stored, stop=False)
        stored.set_user_attr(keys.SEED, options.seed)
        _reconcile(stored, home, tracker, run_linker(storage), options, observer)
        # Only now: a trial that the last run left RUNNING has been asked for already.
        total = agenda.explore_total(stored, options.trials, plan.trials, goes_on=plan.blocks is None)
        stored.set_user_attr(keys.EXPLORE_TOTAL, total)
        if plan.blocks is not None:
            stored.set_user_attr(keys.BLOCKS_TOTAL, options.blocks or 0)
        try:
            if options.executor is not Executor.LOCAL:
                return _place(stored, home, options, observer, stop)
            begin_s = time_for_blocks(plan, options)
            return supervise(stored, home, spec, pool, options, observer, tracker, stop, begin_s)
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
    stop: Stop,
    begin_s: float | None = None,
) -> Finished:
    """Work on a registered study until it is complete or a limit is reached.

    begin_s: no block is begun that is not expected to end within so many seconds.
    """
    from sweep.store.links import run_linker
    from sweep.store.storage import open_optuna
    from sweep.tracking.sender import Postman

    limits = Limits(options.timeout_s, options.max_failures, observer.say, stop)
    supervisor = Supervisor(study, home, spec, pool, limits, observer, options.max_retries, begin_s)
    with limits, Postman(home.spool, tracker, run_linker(open_optuna(home))):
        supervisor.go()
    if any(not trial.run_id for trial in views(study.get_trials(deepcopy=False))):
        study = fresh(study)  # ids of runs that came after the end of their trials
    return Finished(study, supervisor.failures, limits.stopped, limits.failed_as_a_whole)


def _place(study: optuna.Study, home: Home, options: Options, observer: Observer, stop: Stop) -> Finished:
    """Have a cluster run the workers until the study is complete or a limit is reached."""
    words = words_of(options)
    many: dict[str, Any] = {"workers": options.workers, "workers_per_gpu": options.workers_per_gpu}
    with Limits(options.timeout_s, options.max_failures, observer.say, stop) as limits:
        if options.executor is Executor.RAY:
            from sweep.engine.ray import run_on_ray

            run_on_ray(study, home, limits, observer.say, address=options.ray_address, options=words, **many)
        else:
            from sweep.engine.slurm import check, run_on_slurm

            run_on_slurm(
                study, home, limits, observer.say, settings=check(options.slurm), options=words, **many
            )
        failures = len(attempts.given_up(study))
        return Finished(study, failures, limits.stopped, limits.failed_as_a_whole)


def _reconcile(
    study: optuna.Study,
    home: Home,
    tracker: "Tracker",
    link: "LinkRun",
    options: Options,
    observer: Observer,
) -> None:
    """Repair what the last run left behind, before anything new begins."""
    from sweep.recovery.findings import View
    from sweep.recovery.lost import give_up_own
    from sweep.recovery.reconcile import reconcile

    give_up_own(study, home, this_process(), options.max_retries)
    try:
        view = View(study, home, tracker, link, options.max_retries, me=this_process(), full=False)
        for finding in reconcile(view, fix=True):
            observer.say(f"fixed: {finding.text}")
    except Exception as error:
        if is_away(error) or is_disk_full(error):
            raise
        what = redact(str(error)).splitlines()[0][:200]
        observer.say(f"the tracking store does not answer; training goes on without it: {what}")


def load_tiles(plan: Plan, home: Home) -> "TileSet":
    """The tiles of the plan's data; raises UserError where they cannot be used for training."""
    from data_io import prepare

    logging.getLogger("data_io.tiles.cache").setLevel(logging.ERROR)  # a run says the notes itself
    try:
        tiles = prepare(plan.base.data, home.cache)
    except DataError as error:
        raise UserError(str(error)) from error
    if len(tiles.train) < 2:
        raise UserError(f"{plan.base.data.source} gives fewer than two training tiles: add images")
    return tiles


def _summarise(registered: "Registered") -> None:
    """Write what the study's parent run shows; its metrics' steps are numbers of finished trials."""
    from sweep.store.summary import summarise

    summary = summarise(registered.study)
    run, done = registered.run, sum(summary.outcomes.values())
    if summary.best:
        run.metric("best_objective", summary.best.value, done)
        stored = registered.study.get_trials(deepcopy=False)[summary.best.trial]
        # Its id may have come after the trial's end.
        run_id = summary.best.run_id or TrialView(reread(registered.study, stored)).run_id
        run.tags({"best_trial": summary.best.trial, "best_run_id": run_id})
    run.metric("trials", done, done)
    run.end("FINISHED")


def check_tracker(home: Home) -> None:
    """Raises UserError if the home asks for a tracker that there is not."""
    from sweep.tracking.trackers import check

    if home.tracker is not None:
        check(home.tracker)


def check_executor(options: Options) -> None:
    """Raises UserError where there is no Slurm to submit to, or its jobs cannot be as they are asked for."""
    if options.executor is Executor.SLURM:
        from sweep.engine.slurm import check

        check(options.slurm)
    elif options.slurm:
        raise UserError("--slurm is for jobs of Slurm: add --executor slurm, or leave it out")


@contextlib.contextmanager
def user_errors(home: Home) -> Iterator[None]:
    """Raises a full disk, or a store that stays away, as a UserError: the user can mend both."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise UserError(no_space(home)) from error
        if is_away(error):
            raise UserError(
                f"{display_url(home.optuna_url)} no longer answers: run the same again when it does, to go on"
            ) from error
        raise


@contextlib.contextmanager
def _study_lock(home: Home, name: str) -> Iterator[None]:
    """Only one `run` of a study and home at a time; `sweep worker` may join it."""
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
