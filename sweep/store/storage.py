"""The Optuna store of a home: opening it, locking a study in it, checking what it holds."""

import contextlib
import functools
import gc
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.storages import RDBStorage

from sweep.errors import UserError
from sweep.store import secrets
from sweep.store.fast_read import Storage
from sweep.store.home import Home
from sweep.store.optuna_internals import engine_of
from sweep.store.retry import be_patient, impatient, patient
from sweep.store.study_view import StudyView

optuna.logging.set_verbosity(optuna.logging.WARNING)

SQLITE_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5


def open_optuna(home: Home, wait: bool = False) -> RDBStorage:
    """Open or create it; safe for several processes at once. Its methods wait out an outage of the server.

    Args:
        home: says where it is.
        wait: wait out an outage already while opening, as a worker that starts in the middle of a study
            should. A command that somebody typed says at once that there is no server.

    Raises:
        UserError: it cannot be opened.
    """
    url = _url(home)
    try:
        with contextlib.nullcontext() if wait else impatient(), _named_lock(url, "open"):
            storage = patient(Storage)(home.optuna_url, engine_kwargs=_engine_settings(url))
            if url.drivername.startswith("sqlite") and url.database:
                set_wal(url.database)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{display_url(url)} needs a database driver ({error}): "
            "pip install 'vae-stability-sweep[postgres]' and write postgresql+psycopg://"
        ) from error
    except Exception as error:  # sqlalchemy and optuna raise a dozen kinds for a damaged or absent store
        first = secrets.redact(str(error.__cause__ or error)).splitlines()[0]
        mend = "move it away or set SWEEP_HOME to another folder" if not home.storage else "is it running?"
        raise UserError(
            f"{display_url(url)} cannot be opened as an Optuna store "
            f"({type(error).__name__}: {first}): {mend}"
        ) from error
    be_patient(storage)
    return storage


def _url(home: Home) -> sqlalchemy.URL:
    try:
        url = sqlalchemy.make_url(home.optuna_url)
    except sqlalchemy.exc.ArgumentError:
        raise UserError(
            "--storage is no URL: write sqlite:////path/of/optuna.db or postgresql+psycopg://user@host/database"
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"--storage {display_url(url)} is neither sqlite nor postgresql: use one of these")
    return url


def display_url(url: sqlalchemy.URL | str) -> str:
    """A store's URL as it may be shown: without its password; a file by its path."""
    url = sqlalchemy.make_url(url)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return secrets.redact(url.render_as_string(hide_password=True))


def _engine_settings(url: sqlalchemy.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_TIMEOUT_S}}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}}


@contextlib.contextmanager
def study_lock(study: optuna.Study) -> Iterator[None]:
    """Held by one process at a time, on all machines: what a study does next is decided under it."""
    with _named_lock(engine_of(study).url, study.study_name):
        yield


@contextlib.contextmanager
def _named_lock(url: sqlalchemy.URL, name: str) -> Iterator[None]:
    if url.get_backend_name() == "sqlite":
        if not url.database:
            yield
            return
        with FileLock(f"{Path(url.database).resolve()}.{name}.lock"):
            yield
        return
    connection = patient(_advisory_lock)(url, name)
    try:
        yield
    finally:
        # Where the connection was cut, the server has freed the lock already.
        with contextlib.suppress(sqlalchemy.exc.DBAPIError):
            connection.close()


def _advisory_lock(url: sqlalchemy.URL, name: str) -> sqlalchemy.Connection:
    """A connection that holds the lock; the server frees it when the connection ends."""
    connection = _lock_engine(url).connect()
    key = sqlalchemy.func.hashtext(f"vae-stability-sweep {name}")
    connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(key)))
    return connection


@functools.cache
def _lock_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    """Kept, because the first connection of an engine costs a dozen questions to the server."""
    settings = {"connect_args": _engine_settings(url)["connect_args"]}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **settings)


def set_wal(path: Any) -> None:
    """Readers (the two UIs) do not block writers; the mode stays with the file."""
    with sqlite3.connect(path, timeout=SQLITE_TIMEOUT_S) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def stored_names(storage: RDBStorage) -> list[str]:
    return sorted(study.study_name for study in storage.get_all_studies())


def load(storage: RDBStorage, name: str) -> optuna.Study:
    """Raises UserError where the store has no study of that name."""
    from vae.names import nearest

    names = stored_names(storage)
    if name not in names:
        known = nearest(name, names) if names else "(the store is empty: `sweep run` fills it)"
        raise UserError(f"the store holds no study {name!r}; {known}")
    return optuna.load_study(study_name=name, storage=storage)


def read_all(study: optuna.Study) -> None:
    """Have Optuna remember all trials: from then on it asks for what is new.

    With ten thousand trials, the garbage collector would take half of the eight seconds, and a share of every
    later pass. The trials live as long as the process does, so it need not look at them.
    """
    gc.disable()
    try:
        study.get_trials(deepcopy=False)
    finally:
        gc.enable()
        gc.freeze()


def check_same_space(study: optuna.Study, identity: Mapping[str, Any]) -> None:
    """Raises UserError where the stored trials were made with another space, base or data."""
    stored = StudyView.of(study).identity or {}
    if stored == json.loads(json.dumps(identity)):
        return
    changed = sorted(k for k in stored.keys() | identity.keys() if stored.get(k) != identity.get(k))
    listed = "; ".join(_change(k, stored.get(k), identity.get(k)) for k in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise UserError(
        f"the trials of {study.study_name!r} in the store were made with other settings ({listed}{more}), "
        f"so new ones would not compare: add --name NEW to start another study, or run with the old settings"
    )


def _change(key: str, old: Any, new: Any) -> str:
    if key.startswith(("axis ", "arm ")):
        return f"{key} " + ("is new" if old is None else "is gone" if new is None else "changed")
    return f"{key} {old} -> {new}"
