"""The tracking server dies: training does not notice, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.conftest import RUN, Lab, Prepared, make_lab
from tests.sweep.processes import wait_until
from tests.sweep.servers import MlflowServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = MlflowServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def lab(tmp_path: Path, prepared: Prepared, server: MlflowServer) -> Iterator[Lab]:
    lab = make_lab(tmp_path / "home", prepared, SWEEP_TRACKING_URI=server.url)
    yield lab
    lab.end()


@pytest.mark.slow
def test_a_study_outlives_its_tracking_server(lab: Lab, server: MlflowServer) -> None:
    """Killed for good in the middle of the first trial; what it missed is sent once it is back."""
    process = lab.start(*RUN, "--set", "epochs=100", "--workers", "1", "--trials", "3")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    server.kill()
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    assert "wait in the spool" in out
    assert len(lab.finished()) == 3
    assert sum("mlflow_run_id" in trial.user_attrs for trial in lab.trials()) == 1
    # A study that is known goes on without the server, too.
    lab.run("--set", "epochs=100", "--workers", "1", "--trials", "1")
    server.start()
    assert {finding["kind"] for finding in lab.doctor()["findings"]} >= {"spool"}
    lab.doctor("--fix")
    lab.assert_whole([0, 1, 2, 3])


@pytest.mark.slow
def test_an_outage_in_the_middle_costs_no_time_and_no_point(lab: Lab, server: MlflowServer) -> None:
    """Killed while a trial trains and started again before the study ends."""
    process = lab.start(*RUN, "--set", "epochs=600", "--workers", "1", "--trials", "3")
    wait_until(lambda: any("mlflow_run_id" in trial.user_attrs for trial in lab.running()))
    server.kill()
    wait_until(lambda: len(lab.finished()) == 1, timeout_s=200)
    server.start()
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    lab.assert_whole([0, 1, 2])


def test_a_new_study_says_so_where_the_server_is_not_there(tmp_path: Path, prepared: Prepared) -> None:
    lab = make_lab(tmp_path / "home", prepared, SWEEP_TRACKING_URI="http://127.0.0.1:9")
    done = lab.sweep(*RUN, "--trials", "1")
    assert done.returncode == 2, done.stdout
    assert "127.0.0.1:9" in done.stdout.splitlines()[-1]
