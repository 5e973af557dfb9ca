"""One trial: ask, train, record, tell."""

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState

from data_io.loader import BatchLoader
from data_io.tileset import TileSet
from sweep.config import TrialConfig, flatten, with_settings
from sweep.home import Home
from sweep.orphans import requeue
from sweep.output import to_json
from sweep.provenance import Provenance
from sweep.recording import RecordingHooks, TrialInterrupted
from sweep.sampling import search_space
from sweep.study import Plan
from sweep.tracking import Run, Tracker
from vae import checkpoint
from vae.fit import fit
from vae.hardware import resolve
from vae.hooks import RunResult

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Context:
    """What the trials of one worker share."""

    plan: Plan
    study: optuna.Study
    study_name: str
    home: Home
    tracker: Tracker
    experiment: str
    parent_run: str
    provenance: Provenance
    tiles: TileSet
    seed: int
    artifacts: FileSystemArtifactStore


def resolve_config(plan: Plan, params: dict[str, Any], seed: int) -> TrialConfig:
    """The base with a trial's parameters and seed, everything `auto` made explicit."""
    config = with_settings(plan.base, {**params, "seed": seed})
    resolved = resolve(config)
    assert isinstance(resolved, TrialConfig)
    return resolved


def run_trial(context: Context, progress: Progress) -> None:
    """Ask for a trial and see it through.

    An exception of the training fails the trial, with its text in both stores, and is raised on;
    TrialInterrupted puts the same parameters back into the queue first.
    """
    trial = context.study.ask(search_space(context.plan))
    progress({"trial": trial.number})
    # A repeated trial keeps its seed; a study may search it; otherwise every trial has its own.
    seed = trial.user_attrs.get("seed", trial.params.get("seed", context.seed + trial.number))
    trial.set_user_attr("seed", seed)
    config = resolve_config(context.plan, trial.params, seed)
    run = _start_run(context, trial, config)
    trial.set_user_attr("mlflow_run_id", run.id)
    depths = (config.model.encoder_depth, config.model.decoder_depth)
    progress({"epochs": config.epochs, "depths": depths, "lr": config.optim.lr})
    hooks = RecordingHooks(run, trial, context.artifacts, progress)
    try:
        result = _train(context, config, hooks)
        _record(context, trial, config, run, hooks, result)
    except TrialInterrupted:
        _fail(context, trial, run, "interrupted", "the study was stopped in the middle of the trial")
        requeue(context.study, trial)
        raise
    except Exception as error:
        run.files({"error.txt": traceback.format_exc().encode()})
        _fail(context, trial, run, "error", f"{type(error).__name__}: {error}")
        raise


def _start_run(context: Context, trial: optuna.Trial, config: TrialConfig) -> Run:
    tags = {
        "study": context.study_name,
        "trial": str(trial.number),
        "seed": str(config.seed),
        "encoder_depth": str(config.model.encoder_depth),
        "decoder_depth": str(config.model.decoder_depth),
        "git_commit": context.provenance.commit,
        "mlflow.source.name": "sweep run",
        "data_hash": context.tiles.content_hash,
    }
    name = f"trial {trial.number:03d}"
    run = context.tracker.start_run(context.experiment, name, tags, context.parent_run)
    tree = config.model_dump(mode="json")
    run.params(flatten(tree))
    run.dataset(context.tiles.summary(), context="training")
    files = {"config.json": to_json(tree), "provenance.json": to_json(context.provenance.as_dict())}
    if context.provenance.diff:
        files["uncommitted.diff"] = context.provenance.diff.encode()
    run.files(files)
    return run


def _train(context: Context, config: TrialConfig, hooks: RecordingHooks) -> RunResult:
    loader = BatchLoader(
        context.tiles.train,
        config.batch_size,
        config.seed,
        flip=config.data.flip,
        rotate=config.data.rotate,
    )
    folder = context.home.trial_folder(context.study_name, hooks.trial.number)
    state = folder / "state.pt"
    try:
        tiles = context.tiles
        return fit(config, loader, tiles.validation, hooks, checkpoint_path=state, test=tiles.test)
    finally:
        state.unlink(missing_ok=True)


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
    checkpoint.save(folder / "model.pt", {"model_config": tree["model"], "weights": result.weights})
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
    }
    for key, value in facts.items():
        if value is not None:
            trial.set_user_attr(key, value)
    run.tags({"outcome": result.outcome, "reason": result.reason, "mlflow.note.content": result.reason})
    run.end("FINISHED")
    # A divergence is a result: COMPLETE with inf, so that the sampler learns from it.
    context.study.tell(trial, result.objective)


def _fail(context: Context, trial: optuna.Trial, run: Run, outcome: str, reason: str) -> None:
    trial.set_user_attr("outcome", outcome)
    trial.set_user_attr("reason", reason[:2000])
    run.tags({"outcome": outcome, "reason": reason[:2000]})
    run.end("KILLED" if outcome == "interrupted" else "FAILED")
    context.study.tell(trial, state=TrialState.FAIL)
