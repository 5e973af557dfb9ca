"""A store that is away for a while, or whose connections are all in use, is asked again."""

import threading
from pathlib import Path

import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from sweep.store.retry import be_patient, impatient, is_away


@pytest.fixture
def narrow(tmp_path: Path) -> RDBStorage:
    """A store with two connections, for which nobody waits long."""
    settings = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 0.05}
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}", engine_kwargs=settings)
    be_patient(storage)
    return storage


def test_a_thread_waits_for_a_connection_that_others_use(narrow: RDBStorage) -> None:
    connection, other = narrow.engine.connect(), narrow.engine.connect()
    timer = threading.Timer(0.5, connection.close)
    timer.start()
    assert narrow.get_all_studies() == []
    timer.join()
    other.close()
    narrow.engine.dispose()


def test_who_is_not_patient_is_told_at_once_that_the_store_is_away(narrow: RDBStorage) -> None:
    connect = narrow.engine.connect
    with connect(), connect(), impatient(), pytest.raises(StorageInternalError) as raised:
        narrow.get_all_studies()
    assert is_away(raised.value)
    assert not is_away(sqlalchemy.exc.InvalidRequestError("not so"))
    narrow.engine.dispose()
