"""A study in both stores, its trials' and its runs': found, or made and linked to each other."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import RDBStorage

from sweep.errors import UserError
from sweep.store import keys
from sweep.store.home import Home
from sweep.store.links import StudyLink, study_link
from sweep.store.provenance import Provenance, to_json
from sweep.store.secrets import redact
from sweep.store.storage import check_same_space, display_url, stored_names, study_lock
from sweep.store.study_view import StudyView
from sweep.study import Plan, Study, space_hash
from sweep.study.config import flatten
from sweep.tracking import trackers
from sweep.tracking.run import Run, new_key
from sweep.tracking.sender import Sender
from sweep.tracking.trackers import NOTE, Tracker

if TYPE_CHECKING:
    from data_io.tiles.tileset import TileSet

CREATION_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Registered:
    """A study in the trial store, and its experiment and open parent run in the tracker."""

    study: optuna.Study
    experiment: str
    run: Run
    run_id: str


def stored_name(storage: RDBStorage, study: Study, scale: str, name: str | None) -> str:
    """The name that a run is recorded under: the study's, with the scale added if another scale has it."""
    if name:
        return name
    if study.name not in stored_names(storage):
        return study.name
    held = StudyView.of(optuna.load_study(study_name=study.name, storage=storage)).scale or scale
    return study.name if held == scale else f"{study.name}-{scale}"


def tracker_for(home: Home, storage: RDBStorage, name: str) -> Tracker:
    """The tracker that a study of that name has its runs in; for a new study the one that `home` asks for.

    Raises:
        UserError: there is no such tracker.
    """
    known = name in stored_names(storage)
    return trackers.build(home, optuna.load_study(study_name=name, storage=storage) if known else None)


def identity_of(plan: Plan, tiles: "TileSet", scale: str) -> dict[str, Any]:
    """What all trials of one stored study have in common."""
    return plan.identity() | {"data hash": tiles.content_hash, "scale": scale}


def register(
    storage: RDBStorage,
    tracker: Tracker,
    sender: Sender,
    name: str,
    study: Study,
    scale: str,
    plan: Plan,
    tiles: "TileSet",
    provenance: Provenance,
) -> Registered:
    """Find or make the study's Optuna study, experiment and parent run.

    Raises:
        UserError: the stored trials were made with another space, base config or data; or the study is new
            and its tracking store does not answer.
    """
    identity = identity_of(plan, tiles, scale)
    stored = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
    with study_lock(stored):
        link = study_link(stored)
        if link is None:
            _set_names(stored)
            return _make(stored, tracker, sender, study, scale, plan, tiles, provenance, identity)
    check_same_space(stored, identity)
    run = Run(tracker.home.spool, link.run_key, sender)
    run.open(link.experiment, name, {}, run_id=link.run_id)
    return Registered(stored, link.experiment, run, link.run_id)


def _make(
    stored: optuna.Study,
    tracker: Tracker,
    sender: Sender,
    study: Study,
    scale: str,
    plan: Plan,
    tiles: "TileSet",
    provenance: Provenance,
    identity: Mapping[str, Any],
) -> Registered:
    """Make what is missing; a process may have been killed after making the Optuna study."""
    name = stored.study_name
    try:
        experiment = tracker.experiment(name, study.summary)
    except Exception as error:
        raise UserError(
            f"the tracking store {tracker.location} does not answer "
            f"({redact(str(error)).splitlines()[0][:200]}): a new study needs it to begin"
        ) from error
    key = new_key(name, "study")
    tags = {
        "study": name,
        "scale": scale,
        "optuna_study": name,
        "optuna_storage": display_url(tracker.home.optuna_url),
        "space_hash": space_hash(identity),
        "git_commit": provenance.commit,
        NOTE: study.summary,
    }
    run = Run(tracker.home.spool, key, sender).open(experiment, name, tags)
    run.params({"scale": scale} | flatten(plan.base.model_dump(mode="json")))
    run.dataset(tiles.summary(), context="training")
    run.files(_files(plan, tiles, provenance))
    sender.drain(CREATION_TIMEOUT_S)
    if run.id is None:
        raise UserError(f"the tracking store {tracker.location} does not take the study's run")
    link = StudyLink(tracker.name, experiment, run.id, key)
    attrs: Mapping[str, Any] = {
        "study": study.name,
        "summary": study.summary,
        "scale": scale,
        "identity": json.dumps(identity),
        "plan": plan.model_dump_json(),
        "data_hash": tiles.content_hash,
        **({keys.MODULE: study.module} if study.module else {}),
        **link.as_attrs(),  # last: the study is complete once it has them
    }
    for attr, value in attrs.items():
        stored.set_user_attr(attr, value)
    return Registered(stored, experiment, run, run.id)


def _set_names(stored: optuna.Study) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        stored.set_metric_names(["objective"])


def _files(plan: Plan, tiles: "TileSet", provenance: Provenance) -> dict[str, bytes]:
    return {
        "plan.json": to_json(plan.model_dump(mode="json")),
        "data.json": to_json(tiles.summary()),
        **provenance.files(),
    }
