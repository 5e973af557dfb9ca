"""From the stores of a home to all that a report is made of."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial
from pydantic import ValidationError

from sweep.border.caps import same_base
from sweep.report import bordermap
from sweep.report.evidence.depth import CONTROL
from sweep.report.figures.curves import Series, chosen
from sweep.store.home import Home
from sweep.store.summary import Summary, summarise
from sweep.store.trials import Record, records
from sweep.study import Plan
from sweep.study.config import flatten
from sweep.tracking.trackers import Tracker

log = logging.getLogger(__name__)

CURVE_COLUMNS = ("step", "loss", "grad_norm")


@dataclass(frozen=True)
class Material:
    """stored and records are the same trials, by number. control: those of `depth_control_study`. provenance
    and data are empty where the parent run has none. run_url: the address of a run, except for its id at the
    end. tracker: what the store of the runs is called. picks: trials to show, and why they were picked;
    curves: those of them whose steps are in the store.
    """

    summary: Summary
    run_url: str
    tracker: str
    study: str
    text: str
    plan: Plan | None
    stored: Sequence[FrozenTrial]
    records: Sequence[Record]
    control: Sequence[Record]
    border: bordermap.BorderMap | None
    data_hash: str
    data: Mapping[str, Any]
    provenance: Mapping[str, Any]
    picks: Sequence[tuple[str, Record]]
    curves: Sequence[tuple[str, Record, Series]]

    @property
    def factors(self) -> frozenset[str]:
        """Settings that tell the arms apart."""
        arms = self.plan.arms if self.plan else ()
        return frozenset(path for arm in arms for path in (*arm.fixed, *arm.settings))


def gather(home: Home, study: optuna.Study, tracker: Tracker) -> Material:
    attrs = study.user_attrs
    trials = study.get_trials(deepcopy=False)
    plan = _plan(attrs.get("plan"))
    summary = summarise(study)
    rows = records(trials, plan)
    picks = chosen(rows)
    return Material(
        summary=summary,
        run_url=tracker.run_url(summary.mlflow_experiment_id),
        tracker=tracker.title,
        study=str(attrs.get("study", study.study_name)),
        text=str(attrs.get("summary", "")),
        plan=plan,
        stored=trials,
        records=rows,
        control=_control(study),
        border=_border(study, plan, trials),
        data_hash=str(attrs.get("data_hash", "")),
        data=_document(tracker, summary.mlflow_run_id, "data.json"),
        provenance=_document(tracker, summary.mlflow_run_id, "provenance.json"),
        picks=picks,
        curves=[
            (why, trial, series)
            for why, trial in picks
            if (series := _series(tracker, trial.run_id)) is not None
        ],
    )


def _plan(text: str | None) -> Plan | None:
    """None for a study that an older version stored with other fields: its trials are still shown."""
    if text is None:
        return None
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        log.warning("the stored plan cannot be read by this version: %s", error)
        return None


def _control(study: optuna.Study) -> list[Record]:
    storage = study._storage
    assert isinstance(storage, optuna.storages.BaseStorage)
    if CONTROL not in [s.study_name for s in storage.get_all_studies()] or study.study_name == CONTROL:
        return []
    control = optuna.load_study(study_name=CONTROL, storage=storage)
    return records(control.get_trials(deepcopy=False), _plan(control.user_attrs.get("plan")))


def _border(
    study: optuna.Study, plan: Plan | None, trials: Sequence[FrozenTrial]
) -> bordermap.BorderMap | None:
    """The study's own map, or that of a border study in the store on the same data, scale and model."""
    if plan is None:
        return None
    if plan.border is not None:
        return _map(study.study_name, plan, trials, plan)
    for other in optuna.get_all_study_names(study._storage):
        mapped = optuna.load_study(study_name=other, storage=study._storage)
        its_plan = _plan(mapped.user_attrs.get("plan"))
        if its_plan is None or its_plan.border is None:
            continue
        alike = all(mapped.user_attrs.get(k) == study.user_attrs.get(k) for k in ("data_hash", "scale"))
        if alike and same_base(plan, its_plan):
            found = _map(other, its_plan, mapped.get_trials(deepcopy=False), plan)
            if found is not None:
                return found
    return None


def _map(name: str, mapped: Plan, trials: Sequence[FrozenTrial], shown: Plan) -> bordermap.BorderMap | None:
    """shown: the plan of the study whose trials are placed on the map."""
    from sweep.border.map import BorderMap

    assert mapped.border is not None
    if not any(t.user_attrs.get("phase") == "map" and t.state.is_finished() for t in trials):
        return None
    document = BorderMap.of(name, mapped, trials).as_dict()
    return bordermap.read(document, mapped.border.distance_label, flatten(shown.base.model_dump()))


def _document(tracker: Tracker, run_id: str, name: str) -> dict[str, Any]:
    """A JSON artifact of a run; empty where it has none."""
    content = _artifact(tracker, run_id, name)
    if content is None:
        return {}
    document: dict[str, Any] = json.loads(content)
    return document


def _series(tracker: Tracker, run_id: str) -> Series | None:
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
