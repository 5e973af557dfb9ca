"""Where a result comes from: commit, uncommitted changes, package versions, machine."""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "numpy", "optuna", "mlflow", "pydantic", "pillow")
GIT_TIMEOUT_S = 10


def to_json(value: Any) -> bytes:
    """An artifact's content: indented, keys sorted."""
    return json.dumps(value, indent=2, sort_keys=True).encode()


@dataclass(frozen=True)
class Provenance:
    commit: str
    """`unknown` where the code is not in a git checkout."""
    diff: str
    versions: dict[str, str]
    machine: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Without the diff, which is a file of its own."""
        return {k: v for k, v in asdict(self).items() if k != "diff"} | {"diff_lines": self.diff.count("\n")}

    def files(self) -> dict[str, bytes]:
        """Artifacts of a run."""
        files = {"provenance.json": to_json(self.as_dict())}
        if self.diff:
            files["uncommitted.diff"] = self.diff.encode()
        return files


def collect() -> Provenance:
    where = Path(__file__).resolve().parent
    return Provenance(
        commit=_git(where, "rev-parse", "HEAD").strip() or "unknown",
        diff=_git(where, "diff", "HEAD"),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        machine={
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
    )


def _git(where: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
