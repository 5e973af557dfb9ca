"""Fixtures that several packages' tests share, and how commands are given in tests."""

import contextlib
import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

os.environ["WANDB_MODE"] = "offline"  # whatever key is on this machine, no test uses the network

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, here or in a process of a test: with a thread a core in each of several
    # processes all are many times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A run with one worker has a thread a core all the same; they would spin while another test has the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
MOST_PROCESSES = 8
Command = Callable[..., subprocess.CompletedProcess[str]]


def pytest_xdist_auto_num_workers() -> int:
    """One test process a core that this process may use."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def run_module(
    *words: str, home: Path, timeout: float = 240, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m WORDS` as a user types it, with its own SWEEP_HOME."""
    return run_python("-m", *words, home=home, timeout=timeout, cwd=cwd)


def run_python(
    *words: str, home: Path, timeout: float = 240, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"SWEEP_HOME": str(home), "COLUMNS": "120"},
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_here(*words: str, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same as `run_module("sweep", *words)`, but in this process, which has imported everything already.

    For what a command says and writes. What a fresh process imports, and signals, want `run_module`.
    """
    from sweep.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("SWEEP_HOME", str(home))
        patch.setenv("COLUMNS", "120")
        patch.chdir(cwd or ROOT)
        warnings.simplefilter("default")  # a user's process is not strict, and does not show these
        for unseen in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", unseen)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(list(words))
            except SystemExit as end:
                code = int(end.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[..., Path]:
    """made_once(name, make): the folder that `make(folder)` filled, in whichever test process came first.

    Tests only read it, or copy it.
    """
    own = tmp_path_factory.getbasetemp()
    common = own if worker_id == "master" else own.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = common / name, common / f"{name}.done"
        with FileLock(common / f"{name}.lock"):
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made


RUN_WITHOUT_REPORT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "plotly" or name == "sweep.report" or name.startswith("sweep.report."):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
from sweep.cli.app import main
main(sys.argv[1:])
"""
"""`python -m sweep` in which neither the report nor plotly can be imported: a run wants neither."""


def _run_smoke_study(home: Path) -> None:
    words = ("run", "depth_study", "--scale", "smoke", "--trials", "3")
    done = run_python("-c", RUN_WITHOUT_REPORT, *words, home=home)
    assert done.returncode == 0, done.stderr
    assert "was imported" not in done.stderr
    (home / "said.txt").write_text(done.stdout)


@pytest.fixture(scope="session")
def smoke_home(made_once: Callable[..., Path]) -> Path:
    """A home in which `depth_study` was run at smoke scale: three trials, and six blocks.

    Tests only read it.
    """
    return made_once("smoke_home", _run_smoke_study)


@pytest.fixture(scope="session")
def smoke_report(smoke_home: Path, made_once: Callable[..., Path]) -> dict[str, Any]:
    """What `report --json` said of the study in `smoke_home`; the page lies where it says."""

    def report(folder: Path) -> None:
        done = run_here("report", "depth_study", "--json", home=smoke_home)
        assert done.returncode == 0, done.stderr
        (folder / "said.json").write_text(done.stdout)

    said: dict[str, Any] = json.loads((made_once("smoke_report", report) / "said.json").read_text())
    return said
