"""How many cores this process may use: those it may run on, and those that its container is given."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """At least 1. A quota of one and a half cores is two, of which both are not always there.

    Not every Slurm binds a job to its cores, but each says how many they are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    allowed = min(allowed, int(given)) if given.isdecimal() and int(given) else allowed
    quota = processor_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def processor_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> float | None:
    """The cores of the narrowest control group around this process (Docker's --cpus, a Kubernetes limit, a
    systemd slice), version 1 or 2; None without a limit.

    `own` has lines of hierarchy:controllers:path, of which the one without controllers is version 2.
    """
    quotas = [quota for folder in _folders(cgroups, own) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """The group of this process and those around it; a container sees its own as the root."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        root = root if root.is_dir() else cgroups / "cpu"
        place = root / path.lstrip("/")
        yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(root))


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(most) / float(period) if float(most) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
