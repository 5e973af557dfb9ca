"""The quota of a container decides the number of workers, in both versions of control groups."""

import os
from pathlib import Path

import pytest

from sweep.engine import cores
from sweep.engine.cores import available_cores, processor_quota

V2 = "0::/kubepods/pod7\n"
PERIOD = "cpu/docker/3f/cpu.cfs_period_us"
QUOTA = "cpu/docker/3f/cpu.cfs_quota_us"
V1 = "5:cpu,cpuacct:/docker/3f\n4:memory:/docker/3f\n"


def made(tmp_path: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    cgroups = tmp_path / "cgroup"
    cgroups.mkdir()
    for name, content in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(content)
    (tmp_path / "own").write_text(own)
    return cgroups, tmp_path / "own"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        (V2, {"kubepods/pod7/cpu.max": "400000 100000\n", "kubepods/cpu.max": "300000 100000\n"}, 3),
        (V2, {"kubepods/pod7/cpu.max": "max 100000\n", "cpu.max": "max 100000\n"}, None),
        # A container that does not see the path of its group on the host.
        (V2, {"cpu.max": "50000 100000\n"}, 0.5),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {QUOTA: "-1\n", PERIOD: "100000\n"}, None),
        (
            V1,
            {QUOTA: "250000\n", PERIOD: "100000\n"},
            2.5,
        ),
        ("4:memory:/docker/3f\n", {"memory/cpu.max": "100000 100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("", {}, None),
    ],
)
def test_the_narrowest_quota_around_the_process_counts(
    tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    assert processor_quota(*made(tmp_path, own, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert processor_quota(tmp_path / "none", tmp_path / "neither") is None


@pytest.mark.parametrize(("quota", "usable"), [(None, 8), (64.0, 8), (2.0, 2), (1.5, 2), (0.1, 1)])
def test_cores_are_those_of_the_process_and_of_its_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, usable: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cores, "processor_quota", lambda: quota)
    assert available_cores() == usable


@pytest.mark.parametrize(("given", "usable"), [("4", 4), ("64", 8), ("", 8), ("4(x2)", 8)])
def test_a_job_of_slurm_has_the_cores_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str, usable: int
) -> None:
    """Even where the site binds no process to them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cores, "processor_quota", lambda: None)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", given)
    assert available_cores() == usable
