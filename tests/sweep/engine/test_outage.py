"""The tracking server dies: training does not notice, and nothing is lost."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.engine.conftest import RUN, Lab, kill_tree, make_lab, wait_until


class Server:
    """A real MLflow server on a port of its own, with a store and artifacts that outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
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
        wait_until(self.answers, timeout_s=150, poll_s=0.3)

    def answers(self) -> bool:
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def lab(tmp_path: Path, tiles: Path, server: Server) -> Iterator[Lab]:
    lab = make_lab(tmp_path / "home", tiles, SWEEP_TRACKING_URI=server.url)
    yield lab
    lab.end()


@pytest.mark.slow
def test_a_study_outlives_its_tracking_server(lab: Lab, server: Server) -> None:
    """Killed for good in the middle of the first trial; what it missed is sent once it is back."""
    process = lab.start(*RUN, "--set", "epochs=30", "--workers", "1", "--trials", "3")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    server.kill()
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    assert "wait in the spool" in out
    assert len(lab.finished()) == 3
    assert sum("mlflow_run_id" in trial.user_attrs for trial in lab.trials()) == 1
    # A study that is known goes on without the server, too.
    lab.run("--set", "epochs=30", "--workers", "1", "--trials", "1")
    server.start()
    assert {finding["kind"] for finding in lab.doctor()["findings"]} >= {"spool"}
    lab.doctor("--fix")
    lab.assert_whole([0, 1, 2, 3])


@pytest.mark.slow
def test_an_outage_in_the_middle_costs_no_time_and_no_point(lab: Lab, server: Server) -> None:
    """Killed while a trial trains and started again before the study ends."""
    process = lab.start(*RUN, "--set", "epochs=600", "--workers", "1", "--trials", "3")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    server.kill()
    wait_until(lambda: len(lab.finished()) == 1, timeout_s=200)
    server.start()
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    lab.assert_whole([0, 1, 2])


def test_a_new_study_says_so_where_the_server_is_not_there(tmp_path: Path, tiles: Path) -> None:
    lab = make_lab(tmp_path / "home", tiles, SWEEP_TRACKING_URI="http://127.0.0.1:9")
    done = lab.sweep(*RUN, "--trials", "1")
    assert done.returncode == 2, done.stdout
    assert "127.0.0.1:9" in done.stdout.splitlines()[-1]
