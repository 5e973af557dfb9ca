"""A trial and its run know each other, also where the run came to be after the trial had ended."""

import json

import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage

from sweep.store.optuna_internals import models
from sweep.tracking.outbox import Linked

RUN_ID = "mlflow_run_id"


def linker(storage: RDBStorage) -> Linked:
    """Writes a run's id to its trial."""

    def link(study: str, trial: int, run_id: str) -> None:
        try:
            study_id = storage.get_study_id_from_name(study)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial)
        except KeyError:  # a spool of another store: the run is all that can be written
            return
        try:
            storage.set_trial_user_attr(trial_id, RUN_ID, run_id)
        except UpdateFinishedTrialError:
            set_of_finished(storage.engine, trial_id, RUN_ID, run_id)

    return link


def set_of_finished(engine: sqlalchemy.Engine, trial_id: int, key: str, value: object) -> None:
    """Set a user attribute of a trial that has ended, which Optuna allows nobody.

    Needed where the tracking server was away for as long as the trial took: the id of its run is known
    afterwards only, and the trial's end cannot wait for it. Who has the trial cached does not see it.
    """
    table = models.TrialUserAttributeModel.__table__
    mine = sqlalchemy.and_(table.c.trial_id == trial_id, table.c.key == key)
    values = {"value_json": json.dumps(value)}
    with engine.begin() as connection:
        if connection.execute(sqlalchemy.update(table).where(mine).values(values)).rowcount == 0:
            connection.execute(sqlalchemy.insert(table).values(trial_id=trial_id, key=key, **values))
