"""What settings need that may not be installed: known without importing it, or torch."""

import importlib.util
import os
import shutil

PACKAGES = {"prodigy": "prodigyopt", "schedulefree": "schedulefree"}
"""`optim.optimizer` -> package."""


def needs_package(optimizer: str) -> str | None:
    """Why the optimizer cannot be used here, as a sentence; None where it can."""
    package = PACKAGES.get(optimizer)
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"optim.optimizer={optimizer} needs the package {package}: pip install -e '.[baselines]'"


def needs_compiler(mode: str) -> str | None:
    """Why `compile` cannot be that for a CPU here, as a sentence; None where it can."""
    if mode == "none" or shutil.which(os.environ.get("CXX", "g++")):
        return None
    return f"compile={mode} needs a C++ compiler: g++, or the one that CXX names"
