"""Fixtures that several packages' tests share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, here or in a process of a test: with a thread a core in each of several
    # processes all are many times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]


def run_module(
    *words: str, home: Path, timeout: float = 240, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m WORDS` as a user types it, with its own SWEEP_HOME."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | {"SWEEP_HOME": str(home), "COLUMNS": "120"},
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `depth_study` was run at smoke scale with six trials; tests only read it."""
    home = tmp_path_factory.mktemp("smoke") / "home"
    done = run_module("sweep", "run", "depth_study", "--scale", "smoke", "--trials", "6", home=home)
    assert done.returncode == 0, done.stderr
    return home
