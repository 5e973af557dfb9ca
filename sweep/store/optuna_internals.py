"""Optuna's private names, in one place: what the program needs and Optuna has no public call for.

A test says for each of them that the installed Optuna has it, and that no other module uses one; the
dependency has an upper bound, so that a new minor version is tried before it is admitted.
"""

import json
from collections.abc import Container, Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["models"]

OWN_CALLS = ("set_trial_user_attrs",)
"""Methods of the database storage that are ours."""
CACHE_CALLS = ("_create_new_trial", "_get_trials", "_set_trial_param")
"""Methods of the database storage that the cache in front of it calls."""


def storage_of(study: optuna.Study) -> BaseStorage:
    storage = study._storage
    assert isinstance(storage, BaseStorage)
    return storage


def engine_of(study: optuna.Study) -> sqlalchemy.Engine:
    """The database below a study."""
    storage: Any = study._storage
    engine: sqlalchemy.Engine = getattr(storage, "_backend", storage).engine
    return engine


def study_id(study: optuna.Study) -> int:
    """Its key in the database."""
    return study._study_id


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """Its key in the database, which is not its number."""
    return trial._trial_id


def live_trial(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """The trial as Optuna's samplers, and what writes to it, know it."""
    return optuna.Trial(study, trial._trial_id)


def stored_trial(study: optuna.Study, trial: optuna.Trial | FrozenTrial) -> FrozenTrial:
    """The trial as the store has it now."""
    return study._storage.get_trial(trial._trial_id)


def fresh(study: optuna.Study) -> optuna.Study:
    """The study without what this process remembers of its trials."""
    storage: Any = study._storage
    return optuna.load_study(study_name=study.study_name, storage=getattr(storage, "_backend", storage))


def reread(study: optuna.Study, trial: FrozenTrial) -> FrozenTrial:
    """A trial as the database has it now. Optuna remembers those that have ended as they were then, and the
    id of a run may come later."""
    storage: Any = study._storage
    stored: FrozenTrial = getattr(storage, "_backend", storage).get_trial(trial._trial_id)
    return stored


def frozen(trial: optuna.Trial) -> FrozenTrial:
    """A running trial as the store has it now."""
    return stored_trial(trial.study, trial)


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """A value from the distribution, whatever its kind."""
    return trial._suggest(name, distribution)


def contains(distribution: BaseDistribution, value: float) -> bool:
    """value: as the database has it."""
    return distribution._contains(value)


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """What was decided about it when it was queued."""
    fixed: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed


def set_attrs(trial: optuna.Trial | optuna.trial.FixedTrial, attrs: Mapping[str, Any]) -> None:
    """Set user attributes of a running trial, all or none of them.

    One by one each would be a transaction of its own, which waits for the disk.
    """
    storage: Any = trial.study._storage if isinstance(trial, optuna.Trial) else None
    backend = getattr(storage, "_backend", storage)
    if not isinstance(trial, optuna.Trial) or not isinstance(backend, RowStorage):
        for key, value in attrs.items():
            trial.set_user_attr(key, value)
        return
    backend.set_trial_user_attrs(trial._trial_id, attrs)
    trial._cached_frozen_trial.user_attrs.update(attrs)


_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""By the name of the engine, those that can replace a row."""


class RowStorage(RDBStorage):
    """Optuna's storage, with the way it reads trials left to `read_trials`."""

    def set_trial_user_attrs(self, trial_id: int, attrs: Mapping[str, Any]) -> None:
        """In one statement: Optuna's call for one attribute asks for the trial each time.

        Raises:
            UpdateFinishedTrialError: the trial has ended.
        """
        table = models.TrialUserAttributeModel.__table__
        insert = _INSERTS[self.engine.name](table)
        replaced = {"value_json": insert.excluded.value_json}
        upsert = insert.on_conflict_do_update(index_elements=["trial_id", "key"], set_=replaced)
        rows = [{"trial_id": trial_id, "key": k, "value_json": json.dumps(v)} for k, v in attrs.items()]
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session)
            self.check_trial_is_updatable(trial_id, trial.state)
            if rows:
                session.execute(upsert, rows)

    def read_trials(self, study_id: int, included: set[int], above: int) -> list[FrozenTrial]:
        """The trials of these ids, and those of a larger id than `above`, by id."""
        raise NotImplementedError

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        if states is None:
            trials = self.read_trials(study_id, included_trial_ids, trial_id_greater_than)
            if trials or trial_id_greater_than > -1:
                return trials
        # For a study without trials: whether there is such a study.
        return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
