"""Disagreements between the trial store, the tracker and the disk, each kind with how it is fixed.

The trial store says what became of a trial; the run is made to say the same. The order matters: what waits in
the spool may be all that is missing, and a trial that is given up leaves a run to be ended.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import attempts, lost
from sweep.recovery.findings import WITH_RESULT, Finding, View, trial_of
from sweep.recovery.rebuild import rebuild_run
from sweep.store import keys
from sweep.store.checkpoints import PATTERNS, Checkpoints
from sweep.store.trials import TrialView, views
from sweep.tracking import journal
from sweep.tracking.journal import Journal, JournalBusyError
from sweep.tracking.run import now_ms
from sweep.tracking.sender import send_waiting
from sweep.tracking.trackers import KEY, StoredRun

WITHOUT_TRIAL = "without_trial"
"""Tag of a run that belongs to no trial in the store: nothing is deleted."""
WITHOUT_ARTIFACTS = "without_artifacts"
"""Tag of a run whose artifacts are gone: nothing brings them back, and it says so itself."""


def reconcile(view: View, fix: bool) -> list[Finding]:
    """The disagreements of a study; with `fix`, they are fixed one kind after the other.

    Raises:
        Exception: what the tracker raises while its store is away.
    """
    found: list[Finding] = []
    for stage in STAGES:
        for finding in list(stage(view)):
            if finding not in found:
                found.append(finding)
            if fix:
                finding.fix()
    if fix:
        _remember(view)
    return found


def spools(view: View) -> Iterator[Finding]:
    """Journals for this study's tracker that no process is sending; other studies' too."""
    for key in journal.waiting(view.home.spool, view.tracker.name):
        try:
            Journal(view.home.spool, key, timeout_s=0, must_exist=True).close()
        except (JournalBusyError, FileNotFoundError):
            continue
        send = partial(send_waiting, view.home.spool, view.tracker, view.link, [key])
        yield view.finding("spool", f"writes to the run {key} wait for the tracking store", send)


def lost_trials(view: View) -> Iterator[Finding]:
    """Trials that are RUNNING without a process that runs them."""
    for trial in attempts.orphans(view.study, view.me, {}):
        give_up = partial(lost.give_up, view.study, view.home, trial.number, lost.LOST, view.max_retries)
        yield view.finding("lost trial", f"trial {trial.number} is RUNNING without a live worker", give_up)
    for trial in attempts.without_successor(view.study):
        again = partial(attempts.queue_missing, view.study)
        yield view.finding("unqueued trial", f"trial {trial.number} failed and was not queued again", again)


def open_runs(view: View) -> Iterator[Finding]:
    """Runs that are RUNNING without a trial that writes them."""
    trials = view.study.get_trials(deepcopy=False)
    for run in view.tracker.children(view.experiment, view.parent, status="RUNNING"):
        trial = trial_of(run, trials)
        if trial is not None and trial.state is TrialState.RUNNING:
            continue
        status = "FINISHED" if trial is not None and trial.state in WITH_RESULT else "FAILED"
        end = partial(view.tracker.end, run.id, status, now_ms())
        yield view.finding("open run", f"run {run.id} is RUNNING without a live trial", end)
    if view.me is None and not view.is_run_by_others():
        parent = view.tracker.run(view.parent)
        if parent is not None and parent.status == "RUNNING":
            end = partial(view.tracker.end, view.parent, "FINISHED", now_ms())
            yield view.finding("open run", f"the study's run {view.parent} is RUNNING without a study", end)


def missing_runs(view: View) -> Iterator[Finding]:
    """Finished trials that name no run, or one that does not exist."""
    runs = view.runs()
    for trial in view.trials():
        if trial.state not in WITH_RESULT or TrialView(trial).run_id in runs:
            continue
        key = TrialView(trial).run_key
        stored = None if key is None else view.tracker.find(view.experiment, key)
        if stored is not None:
            link = partial(view.link, view.name, trial.number, stored.id)
            yield view.finding("missing link", f"trial {trial.number} does not name its run", link)
        else:
            rebuild = partial(rebuild_run, view, trial)
            yield view.finding("missing run", f"trial {trial.number} finished and has no run", rebuild)


def strange_runs(view: View) -> Iterator[Finding]:
    """Runs below the study's that no trial names."""
    if not view.full:
        return
    trials = view.study.get_trials(deepcopy=False)
    known = {name for trial in views(trials) for name in (trial.run_id, trial.run_key)}
    for run_id, run in view.runs().items():
        if {run_id, run.tags.get(KEY, run_id)} & known or WITHOUT_TRIAL in run.tags:
            continue
        tag = partial(view.tracker.tags, run_id, {WITHOUT_TRIAL: "true"})
        yield view.finding("run without a trial", f"run {run_id} belongs to no trial", tag)


def differences(view: View) -> Iterator[Finding]:
    """Finished trials whose run says something else."""
    runs = view.runs()
    for trial in view.trials():
        run = runs.get(TrialView(trial).run_id)
        if run is None or trial.state not in WITH_RESULT:
            continue
        what = f"trial {trial.number} and run {run.id} differ:"
        if run.status != "FINISHED":
            end = partial(view.tracker.end, run.id, "FINISHED", now_ms())
            yield view.finding("difference", f"{what} the run is {run.status}", end)
        outcome = TrialView(trial).outcome
        if run.tags.get("outcome") != outcome:
            tag = partial(view.tracker.tags, run.id, {"outcome": outcome})
            yield view.finding("difference", f"{what} outcome {run.tags.get('outcome')}", tag)
        value = trial.values[0] if trial.state is TrialState.COMPLETE else math.nan
        found = run.metrics.get("objective")
        if math.isfinite(value) and found != value:
            yield view.finding(
                "difference", f"{what} objective {value} and {found}", _write_objective(view, run, value)
            )


def missing_artifacts(view: View) -> Iterator[Finding]:
    """Finished trials whose run has no artifacts where it says that they are: every run has some."""
    if not view.full:
        return
    runs = view.runs()
    for trial in view.trials():
        run = runs.get(TrialView(trial).run_id) if trial.state in WITH_RESULT else None
        if run is None or run.folder is None or WITHOUT_ARTIFACTS in run.tags:
            continue
        if not run.folder.exists():
            tag = partial(view.tracker.tags, run.id, {WITHOUT_ARTIFACTS: "true"})
            text = f"the artifacts of trial {trial.number} are not in {run.folder}: put them back there"
            yield view.finding("missing artifacts", text, tag)


def old_checkpoints(view: View) -> Iterator[Finding]:
    """Resumable state of trials that are finished."""
    unfinished = {
        trial.root for trial in views(view.study.get_trials(deepcopy=False)) if not trial.state.is_finished()
    }
    for folder in sorted((view.home.checkpoints / view.name).glob("*")):
        if not folder.name.isdigit() or int(folder.name) in unfinished:
            continue
        if any(path for pattern in PATTERNS for path in folder.glob(pattern)):
            discard = Checkpoints(view.home, view.name, int(folder.name)).discard
            yield view.finding("old checkpoint", f"{folder} holds the state of a finished trial", discard)


def _write_objective(view: View, run: StoredRun, value: float) -> Callable[[], object]:
    """At a later step than all others, because a run shows the value at a metric's last step."""
    step = run.last_steps.get("objective", -1) + 1
    return partial(view.tracker.metrics, run.id, [("objective", value, run.started_ms, step)])


def _remember(view: View) -> None:
    """Store which trials need not be looked at again, because nothing about them can change."""
    trials: list[FrozenTrial] = view.study.get_trials(deepcopy=False)
    unfinished = (trial.number for trial in trials if not trial.state.is_finished())
    view.study.set_user_attr(keys.RECONCILED, next(unfinished, len(trials)))


STAGES = (
    spools,
    lost_trials,
    spools,
    open_runs,
    missing_runs,
    strange_runs,
    differences,
    missing_artifacts,
    old_checkpoints,
)
