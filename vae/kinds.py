"""Where a network comes from: `model.kind`.

    vae                        ours (`vae.model.network`)
    path/to/module.py:Class    a class in a file
    package.module:Class       a class in an installed module

Nothing here imports torch, except through the module that is named.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from vae.names import nearest

OURS = "vae"
METHODS = ("encode", "decode")


def absolute(kind: str) -> str:
    """The kind with the path of its file made absolute, so that it means the same in every folder."""
    source, colon, name = kind.rpartition(":")
    if not source.endswith(".py"):
        return kind
    return f"{Path(source).expanduser().absolute()}{colon}{name}"


def short(kind: str) -> str:
    """The kind without the folders of its file."""
    source, colon, name = kind.rpartition(":")
    return f"{Path(source).name}{colon}{name}" if source.endswith(".py") else kind


def file_sha256(path: str | Path, setting: str) -> str:
    """Of a file that a setting names. Raises ValueError where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{setting}={path} cannot be read ({reason}): name a file") from error


def kind_sha256(kind: str) -> str:
    """Hash of the file that holds the class; what that file imports is not in it.

    Raises:
        ValueError: there is no such file or module.
    """
    return file_sha256(_file(kind), "model.kind")


def load_class(kind: str, sha256: str) -> Any:
    """The class, which has the methods of the protocol and a `Config`; its file must have that SHA-256.

    Loading a module runs the code in it: take it from a source you trust.

    Raises:
        ValueError: its file is gone or another, the module cannot be imported, or the class is not there or
            not whole.
    """
    found = kind_sha256(kind)
    if found != sha256:
        raise ValueError(
            f"the file of model.kind={kind} has changed since the run was begun (SHA-256 {found[:12]}, not "
            f"{sha256[:12]}): put the old file back, or start another study"
        )
    return _load(kind, sha256)


@lru_cache
def _load(kind: str, sha256: str) -> Any:
    source, _, name = kind.rpartition(":")
    try:
        module = _module_of_file(Path(source), sha256) if source.endswith(".py") else _module(source)
    except Exception as error:  # whatever the user's module raises is the user's to mend
        raise ValueError(
            f"model.kind={kind}: {source} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        classes = [
            k for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__
        ]
        raise ValueError(
            f"model.kind={kind}: there is no class {name!r} in {source}; {nearest(name, classes)}"
        )
    for method in METHODS:
        if not inspect.isroutine(getattr(cls, method, None)):
            raise ValueError(
                f"model.kind={kind}: {name} has no method {method!r}: a network needs {' and '.join(METHODS)}"
            )
    return cls


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _module_of_file(path: Path, sha256: str) -> ModuleType:
    """Under a name of its own, as a changed file is another module; what lies beside it can be imported."""
    name = f"_network_{path.stem}_{sha256[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _file(kind: str) -> Path:
    source, colon, name = kind.rpartition(":")
    if not colon or not source or not name.isidentifier():
        raise ValueError(
            f"model.kind={kind} is neither {OURS} nor the name of a class: write path/to/module.py:Class or "
            "package.module:Class"
        )
    if source.endswith(".py"):
        return Path(source)
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):  # a package above it is not there
        spec = None
    if spec is None or not spec.has_location or spec.origin is None:
        raise ValueError(
            f"model.kind={kind}: there is no module {source!r} here: install it, or name its file, as in "
            "path/to/module.py:Class"
        )
    return Path(spec.origin)
