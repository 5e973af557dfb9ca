"""What may not agree between Optuna, MLflow and the disk, each kind with how it is mended.

Optuna says what became of a trial; the run is made to say the same. The order matters: what waits in the
spool may be all that is missing, and a trial that is given up leaves a run to be closed.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

from mlflow.entities import Metric
from mlflow.entities import Run as StoredRun
from optuna.trial import FrozenTrial, TrialState

from sweep.recovery import attempts
from sweep.recovery import lost as recovery
from sweep.recovery.attempts import root_of
from sweep.recovery.findings import RECONCILED, WITH_RESULT, Finding, View, trial_of
from sweep.recovery.rebuild import rebuild_run
from sweep.store.checkpoints import PATTERNS, Checkpoints
from sweep.store.summary import outcome_of
from sweep.tracking import journal
from sweep.tracking.journal import Journal, JournalBusyError
from sweep.tracking.linking import RUN_ID
from sweep.tracking.sender import send_waiting

WITHOUT_TRIAL = "without_trial"
"""Tag of a run whose trial the store does not know: nothing is deleted."""


def reconcile(view: View, fix: bool) -> list[Finding]:
    """What does not agree; mended, where `fix`, one kind after the other.

    Raises what the MLflow client raises while the tracking store is away.
    """
    found: list[Finding] = []
    for stage in STAGES:
        for finding in list(stage(view)):
            if finding not in found:
                found.append(finding)
            if fix:
                finding.mend()
    if fix:
        _remember(view)
    return found


def spools(view: View) -> Iterator[Finding]:
    """Journals that nobody sends, of whatever study."""
    for key in journal.waiting(view.home.spool):
        try:
            Journal(view.home.spool, key, timeout_s=0, must_exist=True).close()
        except (JournalBusyError, FileNotFoundError):
            continue
        send = partial(send_waiting, view.home.spool, view.tracker, view.linked, [key])
        yield view.finding("spool", f"writes to the run {key} wait for the tracking store", send)


def lost_trials(view: View) -> Iterator[Finding]:
    """RUNNING, and nobody runs them."""
    for trial in attempts.orphans(view.study, view.me, {}):
        give_up = partial(
            recovery.give_up, view.study, view.home, trial.number, recovery.LOST, view.max_retries
        )
        yield view.finding("lost trial", f"trial {trial.number} is RUNNING without a live worker", give_up)
    for trial in attempts.without_successor(view.study):
        again = partial(attempts.queue_missing, view.study)
        yield view.finding("unqueued trial", f"trial {trial.number} failed and was not queued again", again)


def open_runs(view: View) -> Iterator[Finding]:
    """RUNNING, and no trial writes them."""
    trials = view.study.get_trials(deepcopy=False)
    client = view.tracker.client
    for run in view.tracker.children(view.experiment, view.parent, status="RUNNING"):
        trial = trial_of(run, trials)
        if trial is not None and trial.state is TrialState.RUNNING:
            continue
        status = "FINISHED" if trial is not None and trial.state in WITH_RESULT else "FAILED"
        end = partial(client.set_terminated, run.info.run_id, status=status)
        yield view.finding("open run", f"run {run.info.run_id} is RUNNING without a live trial", end)
    if view.me is None and not view.is_run_by_others():
        parent = client.get_run(view.parent)
        if parent.info.status == "RUNNING":
            end = partial(client.set_terminated, view.parent, status="FINISHED")
            yield view.finding("open run", f"the study's run {view.parent} is RUNNING without a study", end)


def missing_runs(view: View) -> Iterator[Finding]:
    """Finished trials that know no run, or one that is not there."""
    runs = view.runs()
    for trial in view.trials():
        if trial.state not in WITH_RESULT or trial.user_attrs.get(RUN_ID) in runs:
            continue
        key = trial.user_attrs.get("run_key")
        stored = None if key is None else view.tracker.find(view.experiment, key)
        if stored is not None:
            link = partial(view.linked, view.name, trial.number, stored.info.run_id)
            yield view.finding("missing link", f"trial {trial.number} does not name its run", link)
        else:
            rebuild = partial(rebuild_run, view, trial)
            yield view.finding("missing run", f"trial {trial.number} finished and has no run", rebuild)


def strange_runs(view: View) -> Iterator[Finding]:
    """Runs below the study's that no trial knows."""
    if not view.full:
        return
    trials = view.study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(name) for trial in trials for name in (RUN_ID, "run_key")}
    for run_id, run in view.runs().items():
        if {run_id, run.data.tags.get("run_key", run_id)} & known or WITHOUT_TRIAL in run.data.tags:
            continue
        tag = partial(view.tracker.client.set_tag, run_id, WITHOUT_TRIAL, "true")
        yield view.finding("run without a trial", f"run {run_id} belongs to no trial", tag)


def differences(view: View) -> Iterator[Finding]:
    """Finished trials whose run says something else."""
    runs, client = view.runs(), view.tracker.client
    for trial in view.trials():
        run = runs.get(trial.user_attrs.get(RUN_ID, ""))
        if run is None or trial.state not in WITH_RESULT:
            continue
        run_id, what = run.info.run_id, f"trial {trial.number} and run {run.info.run_id} differ:"
        if run.info.status != "FINISHED":
            end = partial(client.set_terminated, run_id, status="FINISHED")
            yield view.finding("difference", f"{what} the run is {run.info.status}", end)
        outcome = outcome_of(trial)
        if run.data.tags.get("outcome") != outcome:
            tag = partial(client.set_tag, run_id, "outcome", outcome)
            yield view.finding("difference", f"{what} outcome {run.data.tags.get('outcome')}", tag)
        value = trial.values[0] if trial.state is TrialState.COMPLETE else math.nan
        if math.isfinite(value) and run.data.metrics.get("objective") != value:
            found = run.data.metrics.get("objective")
            yield view.finding(
                "difference", f"{what} objective {value} and {found}", _write_objective(view, run, value)
            )


def old_checkpoints(view: View) -> Iterator[Finding]:
    """State of trials that will not go on."""
    unfinished = {
        root_of(trial) for trial in view.study.get_trials(deepcopy=False) if not trial.state.is_finished()
    }
    for folder in sorted((view.home.checkpoints / view.name).glob("*")):
        if not folder.name.isdigit() or int(folder.name) in unfinished:
            continue
        if any(path for pattern in PATTERNS for path in folder.glob(pattern)):
            discard = Checkpoints(view.home, view.name, int(folder.name)).discard
            yield view.finding("old checkpoint", f"{folder} holds the state of a finished trial", discard)


def _write_objective(view: View, run: StoredRun, value: float) -> Callable[[], object]:
    """Over what is there: the latest step is what a run shows."""
    steps = [metric.step for metric in run.data._metric_objs if metric.key == "objective"]
    metric = Metric("objective", value, int(run.info.start_time or 0), max(steps, default=-1) + 1)
    return partial(view.tracker.client.log_batch, run.info.run_id, metrics=[metric])


def _remember(view: View) -> None:
    """Up to here nothing can change any more."""
    trials: list[FrozenTrial] = view.study.get_trials(deepcopy=False)
    unfinished = (trial.number for trial in trials if not trial.state.is_finished())
    view.study.set_user_attr(RECONCILED, next(unfinished, len(trials)))


STAGES = (
    spools,
    lost_trials,
    spools,
    open_runs,
    missing_runs,
    strange_runs,
    differences,
    old_checkpoints,
)
