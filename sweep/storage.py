"""The Optuna store of a home, and what is written beside a study in it."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import RDBStorage

from sweep.errors import UserError
from sweep.home import Home

optuna.logging.set_verbosity(optuna.logging.WARNING)

SQLITE_TIMEOUT_S = 60


def open_optuna(home: Home) -> RDBStorage:
    """Open or create it; safe for several processes at once."""
    with FileLock(home.root / "optuna.lock"):
        try:
            storage = RDBStorage(
                home.optuna_url, engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT_S}}
            )
            set_wal(home.root / "optuna.db")
        except Exception as error:  # sqlalchemy and optuna raise a dozen kinds for a damaged file
            raise UserError(
                f"{home.root / 'optuna.db'} cannot be opened as an Optuna store ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}): move it away or set SWEEP_HOME to another folder"
            ) from error
    return storage


def set_wal(path: Any) -> None:
    """Readers (the two UIs) do not block writers; the mode stays with the file."""
    with sqlite3.connect(path, timeout=SQLITE_TIMEOUT_S) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def stored_names(storage: RDBStorage) -> list[str]:
    return sorted(study.study_name for study in storage.get_all_studies())


def load(storage: RDBStorage, name: str) -> optuna.Study:
    """Raises UserError where the store has no study of that name."""
    from vae.registry import nearest

    names = stored_names(storage)
    if name not in names:
        known = nearest(name, names) if names else "(the store is empty: `sweep run` fills it)"
        raise UserError(f"the store holds no study {name!r}; {known}")
    return optuna.load_study(study_name=name, storage=storage)


def check_same_space(study: optuna.Study, identity: Mapping[str, Any]) -> None:
    """Raises UserError where the stored trials were made with another space, base or data."""
    stored: dict[str, Any] = json.loads(study.user_attrs["identity"])
    if stored == json.loads(json.dumps(identity)):
        return
    changed = sorted(k for k in stored.keys() | identity.keys() if stored.get(k) != identity.get(k))
    shown = "; ".join(_change(k, stored.get(k), identity.get(k)) for k in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise UserError(
        f"the trials of {study.study_name!r} in the store were made with other settings ({shown}{more}), "
        f"so new ones would not compare: add --name NEW to start another study, or run with the old settings"
    )


def _change(key: str, old: Any, new: Any) -> str:
    if key.startswith(("axis ", "arm ")):
        return f"{key} " + ("is new" if old is None else "is gone" if new is None else "changed")
    return f"{key} {old} -> {new}"
