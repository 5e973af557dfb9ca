"""Every Python block of README and docs is formatted, typed, and runs where it is marked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks

PYTHON = blocks("python")
RUN = [
    pytest.param(block, id=str(block), marks=[pytest.mark.slow] if block.run == "slow" else [])
    for block in PYTHON
    if block.run
]


@pytest.fixture
def snippets(tmp_path: Path) -> list[str]:
    """All blocks, each a file named by its page and line."""
    for block in PYTHON:
        (tmp_path / f"{block.name}.py").write_text(block.text, encoding="utf-8")
    return sorted(str(path) for path in tmp_path.glob("*.py"))


def call(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_blocks_of_each_kind() -> None:
    assert {block.run for block in PYTHON} == {"", "fast", "slow"}
    assert any(block.title for block in PYTHON)
    assert {block.language for block in blocks()} <= {"python", "sh", "yaml"}


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_blocks_pass_ruff(snippets: list[str], command: str) -> None:
    result = call("ruff", *command.split(), "--no-cache", "--config", "pyproject.toml", *snippets)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_blocks_pass_mypy(snippets: list[str]) -> None:
    result = call("mypy", "--config-file", "pyproject.toml", *snippets)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("block", RUN)
def test_marked_blocks_run(block: Block, tmp_path: Path) -> None:
    script = tmp_path / f"{block.name}.py"
    script.write_text(block.text, encoding="utf-8")
    home = tmp_path / "home"
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SWEEP_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout
