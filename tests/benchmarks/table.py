"""One table out of all benchmarks, and the machine that it was made on."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGES = ("torch", "pythae", "optuna", "mlflow", "numpy")


@dataclass(frozen=True)
class Row:
    """One figure. `interval` is of the median over rounds; `target` is the smallest (or largest) that is
    good enough, None where there is none; `value` is None where the benchmark could not run, and `note` says
    why.
    """

    name: str
    value: float | None
    unit: str
    interval: tuple[float, float] | None = None
    target: float | None = None
    smaller_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None or self.value is None:
            return None
        return self.value <= self.target if self.smaller_is_better else self.value >= self.target


def machine() -> dict[str, str]:
    """Processor, cores that may be used, Python and package versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": str(cores),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def show(rows: Sequence[Row], path: Path | None = None) -> None:
    """Print the rows as a Markdown table below the machine; as JSON to `path` too, where there is one."""
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()) + "\n")
    print("| what | figure | target | |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row.name} | {_figure(row)} | {_target(row)} | {row.note} |")
    if path:
        table = [asdict(row) | {"met": row.met} for row in rows]
        path.write_text(json.dumps({"machine": facts, "rows": table}, indent=1))


def _figure(row: Row) -> str:
    if row.value is None:
        return "-"
    interval = f" [{row.interval[0]:.3g}, {row.interval[1]:.3g}]" if row.interval else ""
    value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
    return f"{value}{interval} {row.unit}".strip()


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    bound = "<=" if row.smaller_is_better else ">="
    return f"{bound} {row.target:g}" + ("" if row.met is None else " met" if row.met else " not met")


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
