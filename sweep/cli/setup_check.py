"""Checks whether this machine can run a study."""

import importlib.metadata
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_io.home import lock_trouble
from sweep.cli.environment_check import disk_limits, mps_runs, namesakes, telling_variables
from sweep.engine.cores import available_cores
from sweep.engine.devices import visible_gpus
from sweep.errors import UserError
from sweep.store import storage
from sweep.store.home import Home
from sweep.store.provenance import PACKAGES

FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    text: str


def check_setup(home: Home) -> list[Check]:
    checks = [_packages(), _folder(home)]
    if home.root.is_dir():
        checks += [_locks(home), _space(home)]
    return [*checks, _devices(), _environment(), _namesakes(), _trials(home)]


def _packages() -> Check:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return Check("packages", False, f"{name} is not installed")
    return Check("packages", True, ", ".join(f"{name} {version}" for name, version in versions.items()))


def _folder(home: Home) -> Check:
    try:
        home.create()
    except UserError as error:
        return Check("folder", False, str(error))
    return Check("folder", True, str(home.root))


def _space(home: Home) -> Check:
    try:
        free = shutil.disk_usage(home.root).free
    except OSError as error:
        return Check("space", False, str(error))
    limits = disk_limits(home)
    text = "; ".join([f"{free / 2**30:.1f} GiB free", *limits])
    return Check("space", free >= FREE_BYTES and not limits, text)


def _locks(home: Home) -> Check:
    try:
        trouble = lock_trouble(home.root)
    except OSError as error:
        return Check("locks", False, f"no file can be made in {home.root} ({error.strerror})")
    text = f"{trouble}: set SWEEP_HOME to a local disk" if trouble else "files can be locked"
    return Check("locks", trouble is None, text)


def _devices() -> Check:
    gpus = visible_gpus(None)
    cores, all_cores = available_cores(), os.cpu_count() or 1
    of = f" (of {all_cores} here)" if cores < all_cores else ""
    sharing = _sharing(os.environ) if gpus else ""
    return Check("devices", True, f"{cores} cores{of}, {len(gpus)} GPUs{sharing}")


def _sharing(environment: Mapping[str, str]) -> str:
    """How processes share a GPU."""
    if mps_runs(environment):
        return "; CUDA MPS runs, so processes that share one work at the same time"
    return "; CUDA MPS does not run, so processes that share one take turns, and lanes do not"


def _environment() -> Check:
    return Check("environment", True, "; ".join(telling_variables(os.environ)) or "no variable changes a run")


def _namesakes() -> Check:
    """They do not disturb `python -m sweep`, unless one has its own name: then this would not be running."""
    found = namesakes(Path.cwd())
    listed = ", ".join(str(path.relative_to(Path.cwd())) for path in found)
    text = f"{listed} of the working directory: not used by `python -m sweep`" if found else "none are hidden"
    return Check("package names", True, text)


def _trials(home: Home) -> Check:
    if not home.has_stores():
        return Check("trial store", True, "none yet: `python -m sweep run STUDY` creates it")
    try:
        storage.open_optuna(home)
    except UserError as error:
        return Check("trial store", False, str(error))
    return Check("trial store", True, storage.display_url(home.optuna_url))
