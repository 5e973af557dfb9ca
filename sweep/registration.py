"""A study's place in the two stores: found or made, linked both ways, left clean by whoever died."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import RDBStorage

from sweep.config import flatten
from sweep.orphans import requeue_all
from sweep.output import to_json
from sweep.provenance import Provenance
from sweep.storage import check_same_space, stored_names
from sweep.study import Plan, Study, space_hash
from sweep.tracking import Run, Tracker

if TYPE_CHECKING:
    from data_io.tileset import TileSet


@dataclass(frozen=True)
class Registered:
    study: optuna.Study
    experiment: str
    run: Run
    requeued: int


def stored_name(storage: RDBStorage, study: Study, scale: str, name: str | None) -> str:
    """Under what name a run is recorded: the study's, or with the scale where another scale holds it."""
    if name:
        return name
    if study.name not in stored_names(storage):
        return study.name
    held = optuna.load_study(study_name=study.name, storage=storage).user_attrs.get("scale", scale)
    return study.name if held == scale else f"{study.name}-{scale}"


def register(
    storage: RDBStorage,
    tracker: Tracker,
    name: str,
    study: Study,
    scale: str,
    plan: Plan,
    tiles: "TileSet",
    provenance: Provenance,
) -> Registered:
    """Find or make the study's Optuna study, MLflow experiment and parent run.

    Trials that a killed run left behind are failed, their MLflow runs killed, their parameters queued.

    Raises:
        UserError: the stored trials were made with another space, base config or data.
    """
    identity = plan.identity() | {"data hash": tiles.content_hash, "scale": scale}
    if name in stored_names(storage):
        stored = optuna.load_study(study_name=name, storage=storage)
        if "mlflow_run_id" in stored.user_attrs:
            check_same_space(stored, identity)
            run = tracker.resume_run(stored.user_attrs["mlflow_run_id"])
            experiment = stored.user_attrs["mlflow_experiment_id"]
            requeued = requeue_all(stored)
            tracker.end_unfinished(experiment, run.id)
            return Registered(stored, experiment, run, requeued)
    # From here on also where a run was killed between making the study and linking it.
    made = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made.set_metric_names(["objective"])
    experiment = tracker.experiment(name, study.summary)
    tags = {
        "study": name,
        "scale": scale,
        "optuna_study": name,
        "optuna_storage": tracker.home.optuna_url,
        "space_hash": space_hash(identity),
        "git_commit": provenance.commit,
        "mlflow.note.content": study.summary,
    }
    run = tracker.start_run(experiment, name, tags)
    run.params({"scale": scale} | flatten(plan.base.model_dump(mode="json")))
    run.dataset(tiles.summary(), context="training")
    run.files(_files(plan, tiles, provenance))
    attrs: Mapping[str, Any] = {
        "study": study.name,
        "summary": study.summary,
        "scale": scale,
        "identity": json.dumps(identity),
        "plan": plan.model_dump_json(),
        "data_hash": tiles.content_hash,
        "mlflow_experiment_id": experiment,
        "mlflow_run_id": run.id,  # last: its presence says that the study is whole
    }
    for key, value in attrs.items():
        made.set_user_attr(key, value)
    return Registered(made, experiment, run, 0)


def _files(plan: Plan, tiles: "TileSet", provenance: Provenance) -> dict[str, bytes]:
    files = {
        "plan.json": to_json(plan.model_dump(mode="json")),
        "provenance.json": to_json(provenance.as_dict()),
        "data.json": to_json(tiles.summary()),
    }
    if provenance.diff:
        files["uncommitted.diff"] = provenance.diff.encode()
    return files
