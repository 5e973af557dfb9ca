"""Waiting out an outage of the store: a call that fails because it is away is made again."""

import contextlib
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage

from sweep.store.optuna_internals import CACHE_CALLS, OWN_CALLS

PATIENCE_S = 600.0
"""An outage that is longer ends a run; the same command continues the study."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0

_METHODS = [*(name for name in vars(BaseStorage) if not name.startswith("_")), *CACHE_CALLS, *OWN_CALLS]
_state = threading.local()
T = TypeVar("T")
RAISED = (StorageInternalError, sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError)


def be_patient(storage: RDBStorage) -> None:
    """Have all methods of `storage` try again, with back-off, while its server is away.

    A write whose reply was lost is done twice. That is harmless: attributes are overwritten, a state set
    twice is refused (`sweep.recovery.attempts` knows its own), a trial queued twice counts towards its phase.
    """
    for name in _METHODS:
        method = getattr(storage, name, None)
        if callable(method):
            setattr(storage, name, patient(method))


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """In this thread, a store that is away raises at once."""
    before, _state.patience = getattr(_state, "patience", PATIENCE_S), 0.0
    try:
        yield
    finally:
        _state.patience = before


def is_away(error: BaseException) -> bool:
    """The server did not answer, restarted, or cut the connection: the same call may work later.

    So may one that found all connections of this process in use, by other threads.
    """
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, sqlalchemy.exc.TimeoutError):
        return True
    if is_disk_full(error) or not isinstance(cause, sqlalchemy.exc.DBAPIError):
        return False
    if isinstance(cause.orig, sqlite3.Error):
        return "locked" in str(cause.orig)
    kinds = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    return isinstance(cause, kinds) or cause.connection_invalidated


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the cause is a full disk, in the words of the system, sqlite or one of their wrappers."""
    while error is not None:
        if getattr(error, "errno", None) in (28, 122):  # ENOSPC, EDQUOT
            return True
        if "disk is full" in str(error) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def patient(method: Callable[..., T]) -> Callable[..., T]:
    """`method`, called again with back-off while the store is away."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> T:
        if getattr(_state, "inside", False):  # one of these calls another: only the outer one waits
            return method(*args, **kwargs)
        deadline = time.monotonic() + getattr(_state, "patience", PATIENCE_S)
        wait = FIRST_WAIT_S
        _state.inside = True
        try:
            while True:
                try:
                    return method(*args, **kwargs)
                except RAISED as error:
                    if not is_away(error) or time.monotonic() + wait > deadline:
                        raise
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
        finally:
            _state.inside = False

    return call
