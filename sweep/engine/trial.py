"""One attempt at a trial: its config, its run, training from the last checkpoint, its result."""

import contextlib
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState

from data_io.tiles.loader import BatchLoader
from data_io.tiles.tileset import TileSet
from sweep.recovery.attempts import FencedError, finish, root_of
from sweep.recovery.failures import OutOfMemoryError, describe, is_out_of_memory
from sweep.search.pruning import should_prune
from sweep.search.request import phase_of, settings_of
from sweep.search.sampling import search_space, suggest
from sweep.store.checkpoints import Checkpoints
from sweep.store.home import Home
from sweep.store.links import RUN_KEY
from sweep.store.provenance import Provenance, to_json
from sweep.store.secrets import redact
from sweep.study import Plan
from sweep.study.config import TrialConfig, flatten
from sweep.study.resolve import resolve_config
from sweep.tracking.hooks import RecordingHooks, TrialInterrupted
from sweep.tracking.run import Run, new_key
from sweep.tracking.sender import Sender
from sweep.tracking.series import Series
from sweep.tracking.trackers import NOTE, PARENT, SOURCE
from vae.training import checkpoint
from vae.training.fit import fit
from vae.training.hooks import RunResult

__all__ = ["Context", "FencedError", "TrialInterrupted", "run_trial"]

Progress = Callable[[dict[str, Any]], bool]
"""Told what the parent shows; answers whether to leave the trial."""


@dataclass(frozen=True)
class Context:
    """What the trials of one worker share."""

    plan: Plan
    study: optuna.Study
    study_name: str
    home: Home
    sender: Sender
    experiment: str
    parent_run: str
    provenance: Provenance
    tiles: TileSet
    seed: int
    artifacts: FileSystemArtifactStore


def run_trial(context: Context, trial: optuna.Trial, progress: Progress) -> None:
    """See a RUNNING trial through: it is told, and its run is ended, or this raises.

    Raises:
        TrialInterrupted: `progress` said to leave; the next attempt goes on from the checkpoint.
        FencedError: another process has ended the trial meanwhile.
        Exception: whatever the training raises. Trial and run are the parent's to end then.
    """
    suggest(trial, search_space(context.plan))
    # A repeated trial keeps its seed; a study may search it; otherwise every trial has its own.
    seed = trial.user_attrs.get("seed", trial.params.get("seed", context.seed + trial.number))
    config = resolve_config(context.plan, trial.params, seed, settings_of(trial))
    checkpoints = Checkpoints(context.home, context.study_name, root_of(trial))
    depths = (config.model.encoder_depth, config.model.decoder_depth)
    share = config.optim.lr_border_fraction
    rate = f"lr {config.optim.lr:.2g}" if share is None else f"lr {share:g} of the border"
    progress({"epochs": config.epochs, "depths": depths, "rate": rate})
    run = _open_run(context, trial, config, checkpoints)
    try:
        _attempt(context, trial, config, checkpoints, run, progress)
    except TrialInterrupted:
        _close(run, "KILLED", "interrupted", "the study was stopped in the middle of the trial")
        raise
    except FencedError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            trial.set_user_attr("oom_batch_size", config.batch_size)
            error = OutOfMemoryError(f"out of memory with a batch of {config.batch_size}: {error}")
        what = describe(error)
        _close(run, "FAILED", what["kind"], what["message"], traceback.format_exc())
        raise error
    finally:
        run.release()
    checkpoints.discard()


def _attempt(
    context: Context,
    trial: optuna.Trial,
    config: TrialConfig,
    checkpoints: Checkpoints,
    run: Run,
    progress: Progress,
) -> None:
    pruned = partial(should_prune, context.study, trial, config)
    hooks = RecordingHooks(run, trial, context.artifacts, Series(checkpoints), progress, pruned)
    try:
        result = _train(context, config, hooks, checkpoints)
    except optuna.TrialPruned as ended:
        _record_pruned(context, trial, run, hooks, str(ended))
    else:
        _record(context, trial, config, run, hooks, result)


def _close(run: Run, status: str, outcome: str, reason: str, trace: str = "") -> None:
    """End the run of an attempt that has no result; on a full disk that is left to the next one."""
    with contextlib.suppress(OSError):
        if trace:
            run.files({"error.txt": redact(trace).encode()})
        run.tags({"outcome": outcome, "reason": reason, NOTE: reason})
        run.end(status)


def _open_run(context: Context, trial: optuna.Trial, config: TrialConfig, checkpoints: Checkpoints) -> Run:
    """The run of the attempt before, where its checkpoint is of this config; otherwise a new one."""
    key, run_id = trial.user_attrs.get("run_before", (None, None))
    going_on = checkpoints.fetch() and _fits(checkpoints, config) and key is not None
    if not going_on:
        checkpoints.discard()
        if run_id is not None:
            trial.set_user_attr("retry_of_run_id", run_id)
        replaced = {"retry_of_run_id": run_id} if run_id is not None else {}
        key, run_id = new_key(context.study_name, trial.number), None
    else:
        replaced = {}
    trial.set_user_attr("seed", config.seed)
    trial.set_user_attr(RUN_KEY, key)
    tags: dict[str, Any] = {
        "study": context.study_name,
        "trial": trial.number,
        "phase": phase_of(trial),
        **{key: trial.user_attrs[key] for key in ("arm", "confirms") if key in trial.user_attrs},
        "seed": config.seed,
        "encoder_depth": config.model.encoder_depth,
        "decoder_depth": config.model.decoder_depth,
        "git_commit": context.provenance.commit,
        SOURCE: "sweep run",
        PARENT: context.parent_run,
        "data_hash": context.tiles.content_hash,
        "outcome": "running",
        **replaced,
    }
    run = Run(context.home.spool, key, context.sender).open(
        context.experiment,
        f"trial {trial.number:03d}",
        tags,
        run_id=run_id,
        attempt=trial.number,
        trial=(context.study_name, trial.number),
    )
    if not going_on:
        tree = config.model_dump(mode="json")
        run.params(flatten(tree))
        run.dataset(context.tiles.summary(), context="training")
        run.files({"config.json": to_json(tree), **context.provenance.files()})
    return run


def _fits(checkpoints: Checkpoints, config: TrialConfig) -> bool:
    """Whether the checkpoint is whole, and of a run that would be bit-equal to this one."""
    with contextlib.suppress(ValueError):
        checkpoint.load(checkpoints.state, config.model_dump(mode="json"))
        return True
    return False


def _train(
    context: Context, config: TrialConfig, hooks: RecordingHooks, checkpoints: Checkpoints
) -> RunResult:
    loader = BatchLoader(
        context.tiles.train,
        config.batch_size,
        config.seed,
        flip=config.data.flip,
        rotate=config.data.rotate,
    )
    tiles = context.tiles
    return fit(config, loader, tiles.validation, hooks, checkpoint_path=checkpoints.state, test=tiles.test)


def _record(
    context: Context,
    trial: optuna.Trial,
    config: TrialConfig,
    run: Run,
    hooks: RecordingHooks,
    result: RunResult,
) -> None:
    hooks.finish(result)
    tree = config.model_dump(mode="json")
    folder = context.home.trial_folder(context.study_name, trial.number)
    probing = config.probe.label != "none"
    if not probing:
        checkpoint.save(folder / "model.pt", {"model_config": tree["model"], "weights": result.weights})
    observed = {f"border/{key}": value for key, value in result.observation.as_dict().items()}
    facts: dict[str, Any] = {
        "outcome": str(result.outcome),
        "reason": result.reason,
        "outcome_step": result.outcome_step,
        "last_finite_loss": result.last_finite_loss,
        "best_epoch": None if result.best_epoch is None else result.best_epoch + 1,
        "steps": result.steps,
        "epochs": result.epochs,
        "train_seconds": result.seconds,
        **{k: v for k, v in result.summary.items() if math.isfinite(v)},
        **observed,
    }
    for key, value in observed.items():
        run.metric(key, value)
    if probing:  # ended before its length, on purpose: it has no objective
        _end(context, trial, run, facts, TrialState.PRUNED, None)
        return
    # A divergence is a result: COMPLETE with inf, so that the sampler learns from it.
    _end(context, trial, run, facts, TrialState.COMPLETE, result.objective)


def _record_pruned(
    context: Context, trial: optuna.Trial, run: Run, hooks: RecordingHooks, reason: str
) -> None:
    hooks.finish_early()
    values = context.study._storage.get_trial(trial._trial_id).intermediate_values
    facts = {"outcome": "pruned", "reason": reason, "steps": len(hooks.series.steps), "epochs": len(values)}
    _end(context, trial, run, facts, TrialState.PRUNED, values[max(values)])


def _end(
    context: Context,
    trial: optuna.Trial,
    run: Run,
    facts: dict[str, Any],
    state: TrialState,
    value: float | None,
) -> None:
    """The run first, whose journal is on disk then: no trial is told without its run."""
    for key, fact in facts.items():
        if fact is not None:
            trial.set_user_attr(key, fact)
    outcome, reason = facts["outcome"], facts["reason"]
    run.tags({"outcome": outcome, "reason": reason, NOTE: reason})
    run.end("FINISHED")
    finish(context.study, trial._trial_id, state, None if value is None else [value])
