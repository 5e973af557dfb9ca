"""Doctor tells what around a run is ignored, or changes it."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from sweep.cli.environment_check import EFFECTS, namesakes, telling_variables
from sweep.cli.setup_check import check_setup
from sweep.errors import UserError
from sweep.store.home import Home
from tests.conftest import ROOT, run_here


@pytest.mark.parametrize("name", EFFECTS)
def test_a_variable_that_matters_is_told_without_its_value(name: str) -> None:
    (told,) = telling_variables({name: "secret-value"})
    assert told.startswith(name)
    assert "secret-value" not in told
    assert telling_variables({name: ""}) == []


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_JOB_ID": "7"}, False),
        ({"SLURM_NTASKS": "4"}, False),
        ({"HOME": "/x", "LANG": "C"}, False),
    ],
)
def test_several_tasks_of_a_job_are_told(environment: dict[str, str], told: bool) -> None:
    assert bool(telling_variables(environment)) == told


@pytest.mark.parametrize("name", ["vae.py", "sweep.py", "data_io/__init__.py", "studies/__init__.py"])
def test_namesakes_of_the_packages_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    (tmp_path / "studies").mkdir(exist_ok=True)  # a folder of studies is not a package
    assert namesakes(tmp_path) == [tmp_path / name]
    assert namesakes(ROOT) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks = next(check for check in check_setup(Home(tmp_path)) if check.name == "locks")
    assert not locks.ok
    assert "set SWEEP_HOME to a local disk" in locks.text
    with pytest.raises(UserError, match="does not lock files"):
        Home(tmp_path / "home").create()


def test_doctor_shows_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vae.py").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:password@host")
    done = run_here("doctor", "--json", home=tmp_path / "home", cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["locks"]["ok"]
    assert "vae.py" in checks["package names"]["text"]
    assert "MLFLOW_TRACKING_URI is not used" in checks["environment"]["text"]
    assert "password" not in done.stdout


def test_whether_cuda_mps_runs_is_told_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))

    def told() -> str:
        return next(check.text for check in check_setup(Home(tmp_path / "home")) if check.name == "devices")

    monkeypatch.setattr("sweep.cli.setup_check.visible_gpus", lambda _: [])
    assert "MPS" not in told()
    monkeypatch.setattr("sweep.cli.setup_check.visible_gpus", lambda _: ["0"])
    assert "CUDA MPS does not run" in told()
    (tmp_path / "control").touch()
    assert "CUDA MPS runs" in told()
