"""The loop of a process that runs a study: workers get trials, and whatever becomes of them is recorded."""

import contextlib
import os
import queue
import time
from collections import Counter

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.engine import agenda, forecast
from sweep.engine.limits import Limits, is_asked_to_stop
from sweep.engine.observer import Observer
from sweep.engine.worker import Spec
from sweep.engine.workers import Event, Lane, Pool, Worker
from sweep.evidence.verdicts import at_hand, wanted_blocks
from sweep.recovery import attempts, lost
from sweep.recovery.attempts import Again, Ending
from sweep.recovery.failures import ending_of, exit_cause, oom_kills
from sweep.recovery.heartbeat import BEAT_S, Heartbeat
from sweep.search.request import UNFINISHED, Phase
from sweep.store.home import Home
from sweep.store.storage import study_lock
from sweep.store.study_view import StudyView
from sweep.store.trials import TrialView, views
from sweep.tracking.dashboard import NoteWriter

POLL_S = 2.0
"""How often the store is asked what other machines did."""
LEAVE_S = float(os.environ.get("SWEEP_LEAVE_SECONDS", "120"))
"""How long a worker that is asked to leave its trial has for the step it is in and a checkpoint; then it is
killed, so that nothing that hangs in a step, or in a library, holds up the end of a run."""
LEFT = Ending("interrupted", "the study was stopped in the middle of the trial", Again.FREE)
NO_ROOM = "with the trials beside it: "


class Supervisor:
    """Runs trials until the study is whole, on this machine and together with others like it.

    Whoever has a free lane takes a trial from the queue; where the queue is empty it decides, under the
    study's lock, what comes next (`sweep.search.request` are functions of the store alone). So no process is
    in charge, and any may die.
    """

    def __init__(
        self,
        study: optuna.Study,
        home: Home,
        spec: Spec,
        pool: Pool,
        limits: Limits,
        observer: Observer,
        max_retries: int,
        begin_s: float | None = None,
    ) -> None:
        """begin_s: no block is begun that is not expected to end within so many seconds."""
        self.begin_s = begin_s
        self._foretold = False
        self.study, self.home, self.spec, self.pool = study, home, spec, pool
        self.limits, self.observer, self.max_retries = limits, observer, max_retries
        self.failures = 0
        """Trials that were given up."""
        self.idle: list[Lane] = []
        """Lanes that wait for a running trial to end before anything can be decided, or for room."""
        self.me = ""
        self._first_seen: dict[int, float] = {}
        self._states: Counter[TrialState] = Counter()
        self._oom_kills = oom_kills()
        self._polled = self._recovered = time.monotonic()
        self._asked_to_leave: float | None = None
        self._started = time.monotonic()
        self._seconds_before = StudyView.of(study).seconds

    def go(self) -> None:
        """Returns when no worker is left: the study is complete, or a limit was reached.

        On KeyboardInterrupt the running trials are left, each with a checkpoint, before it is raised again.
        """
        self.notes = NoteWriter(self.study)
        try:
            with Heartbeat(self.study, self.pool.count) as heartbeat:
                self.me = heartbeat.id
                self._recover()
                self.observer.start(self.study, self.pool.count, self._left)
                try:
                    self._loop()
                except KeyboardInterrupt:
                    if self.limits.now:  # they are being left already, which takes too long for the user
                        raise
                    self.limits.stop("interrupted", now=True)
                    self._loop()
                    raise
        finally:
            self.observer.stop()
            self.notes.close()
            self._save_seconds()

    def _loop(self) -> None:
        while self.pool.live:
            self.limits.check()
            self._obey()
            with contextlib.suppress(queue.Empty):
                self._handle(self.pool.events.get(timeout=0.25))
            self._poll()
            self.observer.refresh()

    def _obey(self) -> None:
        if self.limits.stopped:
            self._wake()
        if self.limits.now:
            for worker in self.pool.live:
                worker.stop()
            self._asked_to_leave = self._asked_to_leave or time.monotonic()
            if time.monotonic() - self._asked_to_leave > LEAVE_S:
                for worker in self.pool.live:
                    worker.process.kill()

    def _poll(self) -> None:
        now = time.monotonic()
        if now - self._polled > POLL_S:
            self._polled = now
            if is_asked_to_stop(self.study) and not self.limits.stopped:
                self.limits.stop("it was asked to stop")
                self.observer.say("asked to stop: the running trials finish, no more are started")
            self._look()
        if now - self._recovered > 3 * BEAT_S:
            self._recovered = now
            self._recover()

    def _recover(self) -> None:
        count = lost.recover(self.study, self.home, self.me, self._first_seen, self.max_retries)
        if count:
            self.observer.say(f"{count} trials of processes that died are queued again")

    def _handle(self, event: Event) -> None:
        worker, lane = event.worker, event.worker.lanes[event.lane]
        if event.name == "ready":
            self._next(lane)
        elif event.name == "progress":
            self.observer.progress(lane.number, event.facts)
        elif event.name == "done":
            self.limits.succeeded()
            self.pool.rooms[worker.number].succeeded()
            self._trial_over(lane)
        elif event.name == "left":
            assert lane.trial is not None
            attempts.fail(self.study, lane.trial, LEFT, self.max_retries)
            self._trial_over(lane)
        elif event.name == "fenced":
            self._trial_over(lane)
        elif event.name == "error":
            self._failed(lane, event.facts["kind"], event.facts["message"])
        elif event.name == "exit":
            self.pool.live.remove(worker)
            worker.end()
            self.idle = [lane for lane in self.idle if lane.worker is not worker]
            if worker.at_work() or event.facts["code"] != 0:
                self._crashed(worker, event.facts["code"])

    def _next(self, lane: Lane, ask: bool = True) -> bool:
        """Give a free lane the next trial, have it wait for one, or end it.

        ask: whether there may be a trial for it. Returns whether there may be one for another lane.
        """
        if self.limits.stopped:
            lane.end()
            return False
        if ask and self.pool.room_in(lane.worker):
            trial = self._take()
            if trial is not None:
                lane.take(trial.number)
                self.observer.progress(lane.number, {"trial": trial.number})
                return True
            ask = False
        if self._may_come():
            self.idle.append(lane)
        else:
            lane.end()
        return ask

    def _take(self) -> FrozenTrial | None:
        """A trial from the queue, or one of those that the study's phases want next, which are queued for all
        that are free; None where there is none."""
        with study_lock(self.study):
            trial = attempts.claim(self.study, self.me)
            if trial is None:
                requests = agenda.next_requests(self._phases(), self._trials(), self.pool.free)
                for request in requests:
                    request.enqueue(self.study)
                trial = attempts.claim(self.study, self.me) if requests else None
            return trial

    def _phases(self) -> list[Phase]:
        """Whoever adds trials to the study changes the total, on whatever machine."""
        view, plan = StudyView.of(self.study), self.spec.plan
        if plan.blocks is None:
            return agenda.phases(plan, view.explore_total)
        trials = views(self._trials(), plan)
        wanted = wanted_blocks(plan, trials, view.blocks_total)
        fit = forecast.blocks_that_fit(plan, trials, self.pool.count, self._seconds_left())
        return agenda.phases(plan, view.explore_total, wanted if fit is None else min(wanted, fit))

    def _seconds_left(self) -> float | None:
        """Of the time in which blocks may run; None where none is set."""
        return None if self.begin_s is None else self.begin_s - (time.monotonic() - self._started)

    def _foretell(self) -> None:
        """Once, when every worker has ended a trial: what blocks cost, and what there is time for."""
        plan, trials = self.spec.plan, views(self._trials(), self.spec.plan)
        if self._foretold or plan.blocks is None or sum(t.ended for t in trials) < self.pool.count:
            return
        self._foretold = True
        wanted = wanted_blocks(plan, trials, StudyView.of(self.study).blocks_total)
        if wanted > at_hand(trials):
            words = forecast.foretell(plan, trials, self.pool.count, self._seconds_left())
            if words:
                self.observer.say(words)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _may_come(self) -> bool:
        """Whether a trial that runs, here or elsewhere, may be followed by others."""
        return any(trial.state in UNFINISHED for trial in self._trials())

    def _wake(self) -> None:
        """What was unknown to the idle lanes may be known now."""
        idle, self.idle = self.idle, []
        ask = True
        for lane in idle:
            ask = self._next(lane, ask)

    def _look(self) -> None:
        """Wake the idle lanes where another process has changed something."""
        if self.idle:
            states = Counter(trial.state for trial in self._trials())
            if states != self._states:
                self._states = states
                self._wake()

    def _left(self) -> int:
        """Trials that wait or are still to be asked for."""
        trials = self._trials()
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        return waiting + agenda.remaining(self._phases(), trials)

    def _trial_over(self, lane: Lane) -> None:
        number, lane.trial = lane.trial, None
        if number is not None:
            self.observer.trial_over(lane.number, number)
            self.notes.write(number)
        self._save_seconds()
        self._foretell()
        self._wake()

    def _failed(self, lane: Lane, kind: str, message: str) -> None:
        """The lane lives, and has ended the run; the trial is ended here."""
        assert lane.trial is not None
        room, ending = self.pool.rooms[lane.worker.number], ending_of(kind, message)
        if kind == "oom" and room.out_of_memory(self._root(lane.trial), lane.was_beside):
            ending = Ending("oom", NO_ROOM + message, Again.FREE)
            attempts.fail(self.study, lane.trial, ending, self.max_retries)
            what = f"worker {lane.worker.number} runs {room.open} at a time from now on"
            self.observer.say(f"trial {lane.trial} did not fit beside others, so {what}: {message}")
        else:
            again = attempts.fail(self.study, lane.trial, ending, self.max_retries)
            if kind == "disk_full":
                self.limits.fail(no_space(self.home), now=True)
            else:
                self._count_failure(lane.worker, lane.trial, message, again)
        self._trial_over(lane)

    def _crashed(self, worker: Worker, code: int) -> None:
        """A crash is one, however many trials it cut off, and one of them at most is to blame. A trial that
        was alone is charged with it; several are not, and fewer run beside each other from then on
        (`sweep.engine.room`), until the one to blame is alone."""
        cause = exit_cause(code, self._oom_kills)
        self._oom_kills = oom_kills()
        cut_off, message = worker.at_work(), f"worker {worker.number} ended with {cause}"
        charged = Again.COUNTED if len(cut_off) == 1 else Again.FREE
        ending = Ending("crashed", f"its worker ended with {cause}", charged)
        again, words = False, worker.last_words(50)
        for lane in cut_off:
            assert lane.trial is not None
            again = lost.give_up(self.study, self.home, lane.trial, ending, self.max_retries, log=words)
        room = self.pool.rooms[worker.number]
        room.crashed(len(cut_off))
        if len(cut_off) > 1:
            self.limits.one_failed(f"worker {worker.number}")
            trials = ", ".join(str(lane.trial) for lane in cut_off)
            what = f"trials {trials} are queued again, and it runs {room.open} at a time from now on"
            self.observer.say(f"{message}: {what} (more in {worker.log})")
        else:
            self._count_failure(worker, cut_off[0].trial if cut_off else None, message, again)
        for lane in cut_off or worker.lanes[:1]:
            self._trial_over(lane)
        if not self.limits.stopped:
            self.pool.start(worker.number).send_spec(self.spec)

    def _count_failure(self, worker: Worker, trial: int | None, message: str, again: bool) -> None:
        """trial: None where the worker died before or between its trials."""
        if trial is None:
            self.limits.one_failed(worker)
            self.observer.say(f"{message}: {worker.last_words(1)}")
            return
        self.failures += not again
        self.limits.one_failed(self._root(trial))
        what = "it is queued again" if again else "it is given up"
        self.observer.say(f"trial {trial} failed, {what}: {message} (more in {worker.log})")

    def _root(self, trial: int) -> int:
        return TrialView(self._trials()[trial]).root

    def _save_seconds(self) -> None:
        seconds = self._seconds_before + time.monotonic() - self._started
        self.study.set_user_attr("seconds", seconds)


def no_space(home: Home) -> str:
    return f"no space is left for {home.root}: make some and give the same command again, which goes on"
