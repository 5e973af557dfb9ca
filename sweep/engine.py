"""Run a study: workers, the budget of trials, failures, Ctrl-C."""

import contextlib
import os
import queue
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from optuna.trial import TrialState

from data_io.errors import DataError
from sweep import orphans, phases
from sweep.errors import UserError
from sweep.home import Home
from sweep.notes import NoteWriter
from sweep.progress import Display
from sweep.study import Plan, Study
from sweep.worker import Spec
from sweep.workers import Event, Worker, available_cores

if TYPE_CHECKING:
    from sweep.registration import Registered

EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Options:
    """Of one `sweep run`; None means the default."""

    scale: str
    trials: int | None = None
    """Explore trials to add; None finishes what an interrupted run left open, or adds the plan's number."""
    workers: int | None = None
    device: str | None = None
    seed: int = 0
    name: str | None = None
    timeout_s: float | None = None
    max_failures: int = 3


@dataclass(frozen=True)
class Finished:
    registered: "Registered"
    exit_code: int
    failures: int
    stopped: str | None


def run_study(study: Study, plan: Plan, options: Options, home: Home, display: Display) -> Finished:
    """Run a study's phases to their end; each trial ends in both stores whatever becomes of it.

    Raises:
        UserError: for everything that the user can mend, before anything is trained.
    """
    gpus = visible_gpus(options.device)
    count = options.workers or (len(gpus) if gpus else available_cores())
    # Before the number of trials caps the workers: a trial's threads, and so its bits, do not depend on it.
    threads = max(1, available_cores() // count)
    if len(phases.phases(plan, 0)) == 1:
        count = min(count, options.trials or plan.trials)
    home.create()
    events: queue.Queue[Event] = queue.Queue()
    display.say(f"preparing data and stores in {home.root}")
    with _workers(home, count, threads, gpus, events) as workers:
        return _prepared(study, plan, options, home, display, workers, events)


def _prepared(
    study: Study,
    plan: Plan,
    options: Options,
    home: Home,
    display: Display,
    workers: "_Pool",
    events: "queue.Queue[Event]",
) -> Finished:
    """The heavy imports run while the workers do theirs."""
    from data_io import prepare
    from sweep.provenance import collect
    from sweep.registration import register, stored_name
    from sweep.storage import open_optuna
    from sweep.tracking import Tracker

    try:
        tiles = prepare(plan.base.data, home.cache)
    except DataError as error:
        raise UserError(str(error)) from error
    if len(tiles.train) < 2:
        raise UserError(f"{plan.base.data.source} gives fewer than two training tiles: add images")
    storage = open_optuna(home)
    name = stored_name(storage, study, options.scale, options.name)
    if name != study.name and options.name is None:
        display.say(f"{study.name} in this store is of another scale; this one is recorded as {name}")
    with _study_lock(home, name):
        tracker = Tracker(home)
        provenance = collect()
        registered = register(storage, tracker, name, study, options.scale, plan, tiles, provenance)
        if registered.requeued:
            display.say(f"{registered.requeued} trials of a run that was killed are queued again")
        spec = Spec(
            home=home.root,
            study_name=name,
            plan=plan,
            experiment=registered.experiment,
            parent_run=registered.run.id,
            seed=options.seed,
            provenance=provenance,
        )
        loop = _Loop(registered, options, display, workers, events, spec)
        return loop.go()


class _Pool:
    """The live workers, and how to start one more in the place of one that died."""

    def __init__(
        self, home: Home, count: int, threads: int, gpus: list[str], events: "queue.Queue[Event]"
    ) -> None:
        self.home, self.count, self.threads, self.gpus, self.events = home, count, threads, gpus, events
        self.live: list[Worker] = []
        for number in range(count):
            self.start(number)

    def start(self, number: int) -> Worker:
        # An empty value hides every GPU: torch then finds none even if it is built for them.
        device = self.gpus[number % len(self.gpus)] if self.gpus else ""
        log = self.home.logs / f"worker-{os.getpid()}-{number}.log"
        worker = Worker(number, self.threads, device, log, self.events)
        self.live.append(worker)
        return worker


@contextlib.contextmanager
def _workers(
    home: Home, count: int, threads: int, gpus: list[str], events: "queue.Queue[Event]"
) -> Iterator[_Pool]:
    pool = _Pool(home, count, threads, gpus, events)
    try:
        yield pool
    finally:
        for worker in pool.live:
            worker.command("stop")
        for worker in pool.live:
            worker.end()


class _Loop:
    """Hands out trials until the budget is spent, and follows what becomes of them."""

    def __init__(
        self,
        registered: "Registered",
        options: Options,
        display: Display,
        pool: _Pool,
        events: "queue.Queue[Event]",
        spec: Spec,
    ) -> None:
        self.registered, self.options, self.display = registered, options, display
        self.pool, self.events, self.spec = pool, events, spec
        self.notes = NoteWriter(registered.study)
        study = registered.study
        total = phases.explore_total(study, options.trials, spec.plan.trials)
        study.set_user_attr("explore_total", total)
        self.phases = phases.phases(spec.plan, total)
        self.promised: set[int] = set()
        """Workers that were told to take a trial from the queue and have not said yet which."""
        self.idle: list[Worker] = []
        """Workers that wait for a running trial to end before anything can be decided."""
        self.failures = 0
        self.failures_in_row = 0
        self.stopped: str | None = None
        self.signals: list[int] = []
        self.started = time.monotonic()
        self.seconds_before = float(registered.study.user_attrs.get("seconds", 0.0))

    def go(self) -> Finished:
        handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.display.start(self.registered.study, self.pool.count, self._left)
            for worker in self.pool.live:
                worker.send_spec(self.spec)
            while self.pool.live:
                with contextlib.suppress(queue.Empty):
                    self._handle(self.events.get(timeout=0.25))
                self._obey_limits()
                self.display.refresh()
        finally:
            self.display.stop()
            self._close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Finished(self.registered, self._exit_code(), self.failures, self.stopped)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)

    def _obey_limits(self) -> None:
        timeout = self.options.timeout_s
        if timeout and time.monotonic() - self.started > timeout and not self.stopped:
            self.stopped = "the time is up"
            self.display.say("time is up: the running trials finish, no more are started")
        if self.failures_in_row >= self.options.max_failures and not self.stopped:
            self.stopped = f"{self.failures_in_row} trials failed in a row"
        if self.signals and self.stopped != "stopped now":
            if len(self.signals) > 1 or self.signals[0] == signal.SIGTERM:
                self.stopped = "stopped now"
                for worker in self.pool.live:
                    worker.command("stop")
            elif self.stopped is None:
                self.stopped = "interrupted"
                self.display.say("finishing the running trials; press Ctrl-C again to stop now")

    def _handle(self, event: Event) -> None:
        worker = event.worker
        if event.name == "ready":
            self._next(worker)
        elif event.name == "progress":
            if "trial" in event.facts:
                worker.trial = event.facts["trial"]
                self.promised.discard(worker.number)
            self.display.progress(worker.number, event.facts)
        elif event.name == "done":
            self.failures_in_row = 0
            self._trial_over(worker)
        elif event.name == "error":
            self._failed(worker, event.facts["message"])
        elif event.name == "exit":
            self.pool.live.remove(worker)
            self.promised.discard(worker.number)
            if worker.trial is not None or event.facts["code"] != 0:
                self._crashed(worker, event.facts["code"])

    def _next(self, worker: Worker) -> None:
        """Give a free worker the next trial, have it wait for one, or end it."""
        study = self.registered.study
        self.promised.discard(worker.number)
        trials = study.get_trials(deepcopy=False)
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        if self.stopped:
            worker.command("end")
        elif waiting > len(self.promised):
            self._take(worker)
        elif request := phases.next_request(self.phases, trials):
            request.enqueue(study)
            self._take(worker)
        elif self.promised or any(other.trial is not None for other in self.pool.live):
            self.idle.append(worker)
        else:
            worker.command("end")

    def _take(self, worker: Worker) -> None:
        self.promised.add(worker.number)
        worker.command("trial")

    def _wake(self) -> None:
        """What was unknown to the idle workers may be known now."""
        idle, self.idle = self.idle, []
        for worker in idle:
            self._next(worker)

    def _left(self) -> int:
        """Trials that wait or are still to be asked for."""
        trials = self.registered.study.get_trials(deepcopy=False)
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        return waiting + phases.remaining(self.phases, trials)

    def _trial_over(self, worker: Worker) -> None:
        number, worker.trial = worker.trial, None
        if number is not None:
            self.display.trial_over(worker.number, number)
            self.notes.write(number)
        self._save_seconds()
        self._wake()

    def _failed(self, worker: Worker, message: str) -> None:
        self.failures += 1
        self.failures_in_row += 1
        self.display.say(f"trial {worker.trial} failed: {message} (more in {worker.log})")
        self._trial_over(worker)

    def _crashed(self, worker: Worker, code: int) -> None:
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if worker.trial is not None:
            self._end_orphan(worker.trial, f"its worker ended with {cause}")
        self._failed(worker, f"worker {worker.number} ended with {cause}: {worker.last_words()}")
        if not self.stopped and self.failures_in_row < self.options.max_failures:
            self.pool.start(worker.number).send_spec(self.spec)

    def _end_orphan(self, number: int, reason: str) -> None:
        run_id = orphans.fail(self.registered.study, number, "crashed", reason)
        if run_id:
            self.registered.run.client.set_terminated(run_id, status="FAILED")

    def _save_seconds(self) -> None:
        seconds = self.seconds_before + time.monotonic() - self.started
        self.registered.study.set_user_attr("seconds", seconds)

    def _close(self) -> None:
        from sweep.summary import summarise

        # A worker that was killed between asking and saying so left a trial that nobody knows of.
        for trial in orphans.running(self.registered.study):
            self._end_orphan(trial.number, "its process ended without a word")
        self.notes.close()
        self._save_seconds()
        summary = summarise(self.registered.study)
        run = self.registered.run
        if summary.best:
            run.metric("best_objective", summary.best.value)
            run.tags({"best_trial": summary.best.trial, "best_run_id": summary.best.run_id})
        run.metric("trials", sum(summary.outcomes.values()))
        run.end("FINISHED")

    def _exit_code(self) -> int:
        if signal.SIGTERM in self.signals:
            return EXIT_TERMINATED
        if self.signals:
            return EXIT_INTERRUPTED
        return 1 if self.failures else 0


@contextlib.contextmanager
def _study_lock(home: Home, name: str) -> Iterator[None]:
    """One `run` a study and home at a time: under it, a RUNNING trial is an orphan."""
    lock = FileLock(home.root / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{name!r} is being run by another process in {home.root}: wait for it, "
            "stop it, or run under another name with --name"
        ) from None
    try:
        yield
    finally:
        lock.release()


def visible_gpus(device: str | None) -> list[str]:
    """What CUDA_VISIBLE_DEVICES of each worker's GPU should hold; empty for the CPU.

    `device` is None or auto (every GPU there is), cpu, cuda, or a list like cuda:0,1.

    Raises:
        UserError: it is none of these, or asks for a GPU that is not there.
    """
    if device == "cpu":
        return []
    found = _gpus()
    if device in (None, "auto"):
        return found
    assert device is not None
    kind, _, numbers = device.partition(":")
    if kind != "cuda" or (numbers and not all(n.isdigit() for n in numbers.split(","))):
        raise UserError(f"--device {device!r} is not possible: write auto, cpu, cuda, or cuda:0,1")
    wanted = [int(n) for n in numbers.split(",")] if numbers else list(range(len(found)))
    if not found or any(n >= len(found) for n in wanted):
        raise UserError(f"--device {device} asks for a GPU that is not there ({len(found)} found)")
    return [found[n] for n in wanted]


def _gpus() -> list[str]:
    if sys.platform == "linux" and not any(Path(node).exists() for node in GPU_NODES):
        return []  # without the second and a half that importing torch takes
    import torch

    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return shown.split(",")[:count] if shown else [str(n) for n in range(count)]
