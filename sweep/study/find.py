"""Finding a study: one that ships with the program, or one in a module of the user's."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweep.errors import UserError
from sweep.study.config import explain
from sweep.study.study import Study
from vae.names import nearest


def _modules() -> dict[str, str]:
    """Name -> module of what the package `studies` holds."""
    # By name: this package does not depend on the one that holds its declarations.
    studies = importlib.import_module("studies")
    return {module.name: f"studies.{module.name}" for module in pkgutil.iter_modules(studies.__path__)}


def shipped() -> dict[str, str]:
    """Name -> module of the studies that come with the package."""
    return {name: module for name, module in _modules().items() if name.endswith("_study")}


def named() -> dict[str, str]:
    """Name -> module of the studies that `run` knows by name: those that ship, and what `train` recorded."""
    return shipped() | {"train": _modules()["stable"]}


def load_preset() -> tuple[Study, Mapping[str, Any]]:
    """The study of one run that `train` makes, and what it sets besides under SGD (`studies/stable.py`)."""
    module = importlib.import_module(_modules()["stable"])
    return module.STUDY, module.STABLE_SGD


def load_study(name: str) -> Study:
    """A shipped study by name, or one from a module that defines `STUDY`, by its path.

    Raises:
        UserError: there is none, or the module does not hold one.
    """
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name))
    modules = named()
    if name not in modules:
        raise UserError(f"there is no study {name!r}; {nearest(name, modules)} or a path to a module")
    study = importlib.import_module(modules[name]).STUDY
    assert isinstance(study, Study)
    return study


def _from_file(path: Path) -> Study:
    if not path.is_file():
        raise UserError(f"there is no study module {path}")
    spec = importlib.util.spec_from_file_location(f"_study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # whatever the user's module raises is the user's to mend
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UserError(f"{path} defines no STUDY = Study(...)")
    found = study.model_copy()  # it may be one that ships, under another name
    found._module = str(path)
    return found
