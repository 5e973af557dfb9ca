"""The manifests of docs/cluster.md are whole: YAML whose commands and times fit the program."""

import shlex
from typing import Any

import pytest
import typer
import yaml

import sweep.cli.app
from sweep.engine.slurm_settings import KEYS
from sweep.engine.supervisor import LEAVE_S
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text()
STORES = {"SWEEP_STORAGE", "SWEEP_TRACKING_URI", "SWEEP_CHECKPOINT_URI"}


def _manifest(title: str) -> dict[str, Any]:
    text = PAGE.split(f'```yaml title="{title}"\n')[1].split("\n```")[0]
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def _given(words: list[str]) -> dict[str, Any]:
    python, dash, module, command, *rest = words
    assert (python, dash, module) == ("python", "-m", "sweep")
    group: Any = typer.main.get_command(sweep.cli.app.app)
    params: dict[str, Any] = group.commands[command].make_context(command, rest).params
    return params


def test_a_pod_runs_a_worker_and_has_time_to_leave() -> None:
    job = _manifest("sweep-workers.yaml")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert _given(container["command"])["study"] == "depth_study"
    assert pod["terminationGracePeriodSeconds"] > LEAVE_S
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    assert job["spec"]["completions"] == job["spec"]["parallelism"]


def test_skypilot_runs_a_worker_that_knows_the_stores() -> None:
    task = _manifest("sweep-worker.yaml")
    assert _given(shlex.split(task["run"]))["study"] == "depth_study"
    assert set(task["secrets"]) == STORES


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_setting_of_jobs_is_explained(key: str) -> None:
    assert f"`{key}`" in PAGE
