"""From the stores of a home to all that a report is made of."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pyarrow.parquet as pq

from sweep.border.caps import same_base
from sweep.report import plotted_map
from sweep.report.figures.curves import Curve, chosen
from sweep.store.home import Home
from sweep.store.optuna_internals import storage_of
from sweep.store.study_view import StudyView
from sweep.store.summary import Summary, summarise
from sweep.store.trials import TrialView, views
from sweep.study import Plan
from sweep.study.config import flatten
from sweep.tracking.trackers import Tracker

log = logging.getLogger(__name__)

CURVE_COLUMNS = ("step", "loss", "grad_norm")


@dataclass(frozen=True)
class Material:
    """What the stores hold about a study.

    study, text: name and summary of its declaration. module: its path, if it does not ship. plan: None where
    this version cannot read it. provenance, data: empty where the parent run has none. run_url: the address
    of a run, except for its id at the end. tracker: what the store of the runs is called. picks: trials to
    show, and why they were picked; curves: those of them whose steps are in the store.
    """

    summary: Summary
    run_url: str
    tracker: str
    study: str
    module: str | None
    text: str
    plan: Plan | None
    trials: Sequence[TrialView]
    border: plotted_map.PlottedMap | None
    data_hash: str
    data: Mapping[str, Any]
    provenance: Mapping[str, Any]
    picks: Sequence[tuple[str, TrialView]]
    curves: Sequence[tuple[str, TrialView, Curve]]


def gather(home: Home, study: optuna.Study, tracker: Tracker) -> Material:
    view, summary = StudyView.of(study), summarise(study)
    plan = view.readable_plan
    trials = views(study.get_trials(deepcopy=False), plan)
    picks = chosen(trials)
    return Material(
        summary=summary,
        run_url=tracker.run_url(summary.mlflow_experiment_id),
        tracker=tracker.title,
        study=view.declared_name,
        module=view.module,
        text=view.summary,
        plan=plan,
        trials=trials,
        border=_border(study, view, trials),
        data_hash=view.data_hash,
        data=_document(tracker, summary.mlflow_run_id, "data.json"),
        provenance=_document(tracker, summary.mlflow_run_id, "provenance.json"),
        picks=picks,
        curves=[
            (why, trial, curve)
            for why, trial in picks
            if (curve := _curve(tracker, trial.run_id)) is not None
        ],
    )


def _border(
    study: optuna.Study, view: StudyView, trials: Sequence[TrialView]
) -> plotted_map.PlottedMap | None:
    """The study's own map, or that of a border study in the store on the same data, scale and model."""
    plan, storage = view.readable_plan, storage_of(study)
    if plan is None:
        return None
    if plan.border is not None:
        return _map(study.study_name, plan, trials, plan)
    for other in optuna.get_all_study_names(storage):
        mapped = optuna.load_study(study_name=other, storage=storage)
        theirs = StudyView.of(mapped)
        if not theirs.maps_border or theirs.readable_plan is None:
            continue
        alike = (theirs.data_hash, theirs.scale) == (view.data_hash, view.scale)
        if alike and same_base(plan, theirs.readable_plan):
            found = _map(other, theirs.readable_plan, views(mapped.get_trials(deepcopy=False)), plan)
            if found is not None:
                return found
    return None


def _map(name: str, mapped: Plan, trials: Sequence[TrialView], shown: Plan) -> plotted_map.PlottedMap | None:
    """shown: the plan of the study whose trials are placed on the map."""
    from sweep.border.map import BorderMap

    assert mapped.border is not None
    if not any(trial.phase == "map" and trial.state.is_finished() for trial in trials):
        return None
    document = BorderMap.of(name, mapped, [trial.stored for trial in trials]).as_dict()
    return plotted_map.read(document, mapped.border.distance_label, flatten(shown.base.model_dump()))


def _document(tracker: Tracker, run_id: str, name: str) -> dict[str, Any]:
    """A JSON artifact of a run; empty where it has none."""
    content = _artifact(tracker, run_id, name)
    if content is None:
        return {}
    document: dict[str, Any] = json.loads(content)
    return document


def _curve(tracker: Tracker, run_id: str) -> Curve | None:
    content = _artifact(tracker, run_id, "series/steps.parquet")
    if content is None:
        return None
    table = pq.read_table(io.BytesIO(content))
    if not set(CURVE_COLUMNS) <= set(table.column_names):
        return None
    return {name: table[name].to_pylist() for name in CURVE_COLUMNS}


def _artifact(tracker: Tracker, run_id: str, name: str) -> bytes | None:
    """None if there is no such run or file: a report is written of what there is."""
    return tracker.artifact(run_id, name) if run_id else None
