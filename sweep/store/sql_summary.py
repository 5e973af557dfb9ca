"""A study's summary counted in the database: loading ten thousand trials takes seconds."""

import json

import optuna
import sqlalchemy
from optuna.trial import TrialState

from sweep.store import keys
from sweep.store.optuna_internals import engine_of, models, storage_of, study_id
from sweep.store.study_view import StudyView
from sweep.store.summary import Best, Summary, best_of
from sweep.store.trials import BLOCK

UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)

_TRIALS, _ATTRS = models.TrialModel.__table__, models.TrialUserAttributeModel.__table__
_VALUES = models.TrialValueModel.__table__


def count(study: optuna.Study) -> Summary:
    """What `sweep.store.summary.summarise` finds, for a study in a database."""
    view, key = StudyView.of(study), study_id(study)
    with engine_of(study).connect() as connection:
        states = _states(connection, key)
        outcomes = _outcomes(connection, key)
        best = _best_id(connection, key)
        blocks = _blocks(connection, key)
    finished = sum(n for state, n in states.items() if state not in UNFINISHED)
    if (unknown := finished - sum(outcomes.values())) > 0:
        outcomes["unknown"] = outcomes.get("unknown", 0) + unknown
    return Summary(
        study=study.study_name,
        scale=view.scale,
        trials={state.name.lower(): states.get(state, 0) for state in TrialState},
        outcomes=outcomes,
        blocks=blocks,
        best=_best(study, best),
        seconds=round(view.seconds, 1),
        mlflow_run_id=view.run_id,
        mlflow_experiment_id=view.experiment_id,
    )


def _states(connection: sqlalchemy.Connection, study: int) -> dict[TrialState, int]:
    query = (
        sqlalchemy.select(_TRIALS.c.state, sqlalchemy.func.count())
        .where(_TRIALS.c.study_id == study)
        .group_by(_TRIALS.c.state)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _outcomes(connection: sqlalchemy.Connection, study: int) -> dict[str, int]:
    query = (
        sqlalchemy.select(_ATTRS.c.value_json, sqlalchemy.func.count())
        .join(_TRIALS, _TRIALS.c.trial_id == _ATTRS.c.trial_id)
        .where(_TRIALS.c.study_id == study, _TRIALS.c.state.not_in(UNFINISHED), _ATTRS.c.key == keys.OUTCOME)
        .group_by(_ATTRS.c.value_json)
    )
    return {str(json.loads(row[0])): row[1] for row in connection.execute(query)}


def _blocks(connection: sqlalchemy.Connection, study: int) -> int:
    query = (
        sqlalchemy.select(sqlalchemy.func.count(_ATTRS.c.value_json.distinct()))
        .join(_TRIALS, _TRIALS.c.trial_id == _ATTRS.c.trial_id)
        .where(_TRIALS.c.study_id == study, _ATTRS.c.key == keys.BLOCK)
    )
    return int(connection.execute(query).scalar_one())


def _best_id(connection: sqlalchemy.Connection, study: int) -> int | None:
    in_block = sqlalchemy.exists().where(
        _ATTRS.c.trial_id == _TRIALS.c.trial_id,
        _ATTRS.c.key == keys.PHASE,
        _ATTRS.c.value_json == json.dumps(BLOCK),
    )
    query = (
        sqlalchemy.select(_TRIALS.c.trial_id)
        .join(_VALUES, _TRIALS.c.trial_id == _VALUES.c.trial_id)
        .where(
            _TRIALS.c.study_id == study,
            _TRIALS.c.state == TrialState.COMPLETE,
            _VALUES.c.value_type == models.TrialValueModel.TrialValueType.FINITE,
        )
        .order_by(in_block, _VALUES.c.value, _TRIALS.c.number)
        .limit(1)
    )
    return connection.execute(query).scalar()


def _best(study: optuna.Study, trial_id: int | None) -> Best | None:
    return None if trial_id is None else best_of([storage_of(study).get_trial(trial_id)])
