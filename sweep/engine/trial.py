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

from data_io.config import DataConfig
from data_io.tiles.tileset import TileSet
from sweep.engine.training import train_on
from sweep.recovery.attempts import FencedError, finish
from sweep.recovery.failures import OutOfMemoryError, describe, is_out_of_memory
from sweep.search.pruning import is_behind, should_prune
from sweep.search.sampling import search_space, suggest
from sweep.store import keys
from sweep.store.checkpoints import Checkpoints
from sweep.store.home import Home
from sweep.store.optuna_internals import frozen, set_attrs, stored_trial, trial_id
from sweep.store.provenance import Provenance, to_json
from sweep.store.secrets import redact
from sweep.store.trials import LR, TrialView
from sweep.study import Plan
from sweep.study.config import TrialConfig, flatten
from sweep.study.resolve import resolve_config
from sweep.tracking.hooks import RecordingHooks, TrialInterrupted
from sweep.tracking.run import Run, new_key
from sweep.tracking.sender import Sender
from sweep.tracking.series import Series
from sweep.tracking.trackers import NOTE, PARENT, SOURCE
from vae.config import ModelConfig, NetworkConfig
from vae.kinds import short
from vae.training import checkpoint
from vae.training.hooks import RunResult

__all__ = ["Context", "FencedError", "TrialInterrupted", "run_trial"]

Progress = Callable[[dict[str, Any]], bool]
"""Told what the parent shows; answers whether to leave the trial."""


@dataclass(frozen=True)
class Context:
    """What the trials of one worker share.

    tiles: the tiles that a trial's data settings cut; runs of different blocks have different splits.
    """

    plan: Plan
    study: optuna.Study
    study_name: str
    home: Home
    sender: Sender
    experiment: str
    parent_run: str
    provenance: Provenance
    tiles: Callable[[DataConfig], TileSet]
    seed: int
    artifacts: FileSystemArtifactStore


def run_trial(context: Context, trial: optuna.Trial, progress: Progress) -> None:
    """Train a RUNNING trial: end it in the trial store and end its run, or raise.

    Raises:
        TrialInterrupted: `progress` said to leave; the next attempt goes on from the checkpoint.
        FencedError: another process has ended the trial meanwhile.
        Exception: whatever the training raises. Trial and run are the parent's to end then.
    """
    suggest(trial, search_space(context.plan))
    # A repeated trial keeps its seed; a study may search it; otherwise every trial has its own.
    view = TrialView(frozen(trial), context.plan)
    seed = view.seed
    if seed is None:
        seed = trial.params.get("seed", context.seed + trial.number)
    config = resolve_config(context.plan, trial.params, seed, view.settings)
    checkpoints = Checkpoints(context.home, context.study_name, view.root)
    progress({"epochs": config.epochs} | describe_trial(view, config))
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
            trial.set_user_attr(keys.OOM_BATCH_SIZE, config.batch_size)
            error = OutOfMemoryError(f"out of memory with a batch of {config.batch_size}: {error}")
        what = describe(error)
        _close(run, "FAILED", what["kind"], what["message"], traceback.format_exc())
        raise error
    finally:
        run.release()
    checkpoints.discard()


def describe_trial(trial: TrialView, config: TrialConfig) -> dict[str, Any]:
    """What distinguishes the trial: its `arm`, and its searched values by path as `settings`.

    A value that its arm fixes is in the arm's name; where nothing is searched the learning rate is given. One
    that is a share of the border is given as the share, since the rate itself is not known before the run.
    """
    assert trial.plan is not None
    if trial.block is not None:  # all else is the same in every run of every block
        tried = {path: trial.value(path) for path in trial.plan.blocks.grid} if trial.plan.blocks else {}
        return {"arm": f"block {trial.block}, {trial.arm}", "settings": tried}
    arm = next((arm for arm in trial.plan.arms if arm.name == trial.arm), None)
    fixed = {} if arm is None or len(trial.plan.arms) == 1 else arm.fixed
    settings = {path: value for path, value in trial.params.items() if path not in fixed}
    if config.optim.lr_border_fraction is not None:
        settings.pop(LR, None)
        settings["optim.lr_border_fraction"] = config.optim.lr_border_fraction
    elif not trial.plan.axes:
        settings[LR] = config.optim.lr
    return {"arm": trial.arm if len(trial.plan.arms) > 1 else "", "settings": settings}


def _attempt(
    context: Context,
    trial: optuna.Trial,
    config: TrialConfig,
    checkpoints: Checkpoints,
    run: Run,
    progress: Progress,
) -> None:
    pruned = partial(_ends_early, context, trial, config)
    hooks = RecordingHooks(run, trial, context.artifacts, Series(checkpoints), progress, pruned)
    try:
        tiles = context.tiles(config.data)
        result = train_on(tiles, config, hooks, checkpoints.state, resolved=True)
    except optuna.TrialPruned as ended:
        _record_pruned(context, trial, run, hooks, str(ended))
    else:
        _record(context, trial, config, run, hooks, result)


def _ends_early(context: Context, trial: optuna.Trial, config: TrialConfig) -> bool:
    blocks = context.plan.blocks
    return should_prune(context.study, trial, config) or (
        blocks is not None and is_behind(context.study, trial, config, blocks)
    )


def _close(run: Run, status: str, outcome: str, reason: str, trace: str = "") -> None:
    """End the run of an attempt that has no result; on a full disk that is left to the next one."""
    with contextlib.suppress(OSError):
        if trace:
            run.files({"error.txt": redact(trace).encode()})
        run.tags({"outcome": outcome, "reason": reason, NOTE: reason})
        run.end(status)


def _open_run(context: Context, trial: optuna.Trial, config: TrialConfig, checkpoints: Checkpoints) -> Run:
    """The run of the attempt before, where its checkpoint is of this config; otherwise a new one."""
    view = TrialView(frozen(trial))
    key, run_id = view.run_before
    going_on = checkpoints.fetch() and _fits(checkpoints, config) and key is not None
    if not going_on:
        checkpoints.discard()
        if run_id is not None:
            trial.set_user_attr(keys.RETRY_OF_RUN, run_id)
        replaced = {keys.RETRY_OF_RUN: run_id} if run_id is not None else {}
        key, run_id = new_key(context.study_name, trial.number), None
    else:
        assert key is not None
        replaced = {}
    set_attrs(trial, {keys.SEED: config.seed, keys.RUN_KEY: key})
    tags: dict[str, Any] = {
        "study": context.study_name,
        "trial": trial.number,
        "phase": view.phase,
        **({"arm": view.arm} if view.names_arm else {}),
        **({} if view.confirms is None else {"confirms": view.confirms}),
        **({} if view.block is None else {"block": view.block}),
        "seed": config.seed,
        **_network_tags(config.model),
        "git_commit": context.provenance.commit,
        SOURCE: "sweep run",
        PARENT: context.parent_run,
        "data_hash": context.tiles(config.data).content_hash,
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
        run.dataset(context.tiles(config.data).summary(), context="training")
        run.files({"config.json": to_json(tree), **context.provenance.files()})
    return run


def _network_tags(model: NetworkConfig) -> dict[str, Any]:
    if isinstance(model, ModelConfig):
        return {"encoder_depth": model.encoder_depth, "decoder_depth": model.decoder_depth}
    return {"network": short(model.kind)}


def _fits(checkpoints: Checkpoints, config: TrialConfig) -> bool:
    """Whether the checkpoint is whole, and of a run that would be bit-equal to this one."""
    with contextlib.suppress(ValueError):
        checkpoint.load(checkpoints.state, config.identity())
        return True
    return False


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
        model = {"model_config": tree["model"], "weights": result.weights, "likelihood": result.likelihood}
        checkpoint.save(folder / "model.pt", model)
    observed = {f"{keys.BORDER}{key}": value for key, value in result.observation.as_dict().items()}
    facts: dict[str, Any] = {
        keys.OUTCOME: str(result.outcome),
        keys.REASON: result.reason,
        keys.OUTCOME_STEP: result.outcome_step,
        keys.LAST_FINITE_LOSS: result.last_finite_loss,
        keys.BEST_EPOCH: None if result.best_epoch is None else result.best_epoch + 1,
        keys.STEPS: result.steps,
        keys.EPOCHS: result.epochs,
        keys.TRAIN_SECONDS: result.seconds,
        **{k: v for k, v in result.summary.items() if math.isfinite(v)},
        **observed,
    }
    if intervals := _quality_intervals(result):
        facts[keys.QUALITY_INTERVALS] = intervals
    for key, value in observed.items():
        run.metric(key, value)
    if probing:  # ended before its length, on purpose: it has no objective
        _end(context, trial, run, facts, TrialState.PRUNED, None)
        return
    # A divergence is a result: COMPLETE with inf, so that the sampler learns from it.
    _end(context, trial, run, facts, TrialState.COMPLETE, result.objective)


def _quality_intervals(result: RunResult) -> dict[str, tuple[float, float]]:
    """Metric -> ends of the interval, of those whose value is among the trial's facts."""
    metrics = [key for key in result.summary if key.startswith(keys.QUALITY)]
    ends = {key: (result.intervals.get(f"{key}_low"), result.intervals.get(f"{key}_high")) for key in metrics}
    return {
        key.removeprefix(keys.QUALITY): (low, high)
        for key, (low, high) in ends.items()
        if low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    }


def _record_pruned(
    context: Context, trial: optuna.Trial, run: Run, hooks: RecordingHooks, reason: str
) -> None:
    hooks.finish_early()
    values = stored_trial(context.study, trial).intermediate_values
    facts = {
        keys.OUTCOME: "pruned",
        keys.REASON: reason,
        keys.STEPS: len(hooks.series.steps),
        keys.EPOCHS: len(values),
    }
    _end(context, trial, run, facts, TrialState.PRUNED, values[max(values)])


def _end(
    context: Context,
    trial: optuna.Trial,
    run: Run,
    facts: dict[str, Any],
    state: TrialState,
    value: float | None,
) -> None:
    """End the run first: once its journal is on disk, the trial can be ended without losing its run."""
    set_attrs(trial, {key: fact for key, fact in facts.items() if fact is not None})
    outcome, reason = facts[keys.OUTCOME], facts[keys.REASON]
    run.tags({"outcome": outcome, "reason": reason, NOTE: reason})
    run.end("FINISHED", wait_s=None)
    finish(context.study, trial_id(trial), state, None if value is None else [value])
