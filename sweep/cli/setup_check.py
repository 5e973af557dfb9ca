"""Checks whether this machine can run a study."""

import importlib.metadata
import shutil
from dataclasses import dataclass

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
    return [_packages(), _folder(home), _space(home), _devices(), _trials(home)]


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
    return Check("space", free >= FREE_BYTES, f"{free / 2**30:.1f} GiB free")


def _devices() -> Check:
    gpus = visible_gpus(None)
    return Check("devices", True, f"{available_cores()} cores, {len(gpus)} GPUs")


def _trials(home: Home) -> Check:
    if not home.has_stores():
        return Check("trial store", True, "none yet: `python -m sweep run STUDY` creates it")
    try:
        storage.open_optuna(home)
    except UserError as error:
        return Check("trial store", False, str(error))
    return Check("trial store", True, storage.display_url(home.optuna_url))
