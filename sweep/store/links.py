"""Which run belongs to a study or a trial: attributes in the trial store.

Two of their keys say MLflow, because stores made before there was a second tracker have them; they hold the
ids that the study's tracker gave, whichever it is.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweep.store.keys import EXPERIMENT_ID, RUN_ID, RUN_KEY, TRACKER
from sweep.store.optuna_internals import models

DEFAULT_TRACKER = "mlflow"
"""The tracker of a study that names none."""

LinkRun = Callable[[str, int, str], None]
"""Stores the id of a trial's run: called with the study's name, the trial's number and that id."""


@dataclass(frozen=True)
class StudyLink:
    """The tracker that holds a study's runs, and the ids of its experiment and its parent run there."""

    tracker: str
    experiment: str
    run_id: str
    run_key: str

    def as_attrs(self) -> dict[str, str]:
        """The study's attributes. The run's id comes last: its presence says that the study is complete."""
        return {
            TRACKER: self.tracker,
            RUN_KEY: self.run_key,
            EXPERIMENT_ID: self.experiment,
            RUN_ID: self.run_id,
        }


def study_link(study: optuna.Study) -> StudyLink | None:
    """None while the study is being made, and for good if whoever made it was killed meanwhile."""
    attrs = study.user_attrs
    if RUN_ID not in attrs:
        return None
    return StudyLink(
        tracker=attrs.get(TRACKER, DEFAULT_TRACKER),
        experiment=str(attrs[EXPERIMENT_ID]),
        run_id=str(attrs[RUN_ID]),
        run_key=str(attrs.get(RUN_KEY, "")),
    )


def run_id_of(trial: optuna.Trial | FrozenTrial) -> str | None:
    """The id of the trial's run; None until its tracker has given one."""
    return trial.user_attrs.get(RUN_ID)


def run_linker(storage: RDBStorage) -> LinkRun:
    """A function that stores the ids of runs in `storage`, also those of trials that have ended."""

    def link(study: str, trial: int, run_id: str) -> None:
        try:
            study_id = storage.get_study_id_from_name(study)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial)
        except KeyError:  # the journal is of a study in another store: there is only the run to write
            return
        try:
            storage.set_trial_user_attr(trial_id, RUN_ID, run_id)
        except UpdateFinishedTrialError:
            _set_on_finished(storage.engine, trial_id, RUN_ID, run_id)

    return link


def _set_on_finished(engine: sqlalchemy.Engine, trial_id: int, key: str, value: object) -> None:
    """Set a user attribute of a trial that has ended, which Optuna does not allow.

    It is needed if the tracking server was away for as long as the trial took: then the id of the run is
    known only afterwards, and the trial's end cannot wait for it. Processes that have the trial cached do
    not see the change.
    """
    table = models.TrialUserAttributeModel.__table__
    mine = sqlalchemy.and_(table.c.trial_id == trial_id, table.c.key == key)
    values = {"value_json": json.dumps(value)}
    with engine.begin() as connection:
        if connection.execute(sqlalchemy.update(table).where(mine).values(values)).rowcount == 0:
            connection.execute(sqlalchemy.insert(table).values(trial_id=trial_id, key=key, **values))
