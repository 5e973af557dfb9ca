"""Optimizers that are packages of their own: known without importing them, or torch."""

import importlib.util

PACKAGES = {"prodigy": "prodigyopt", "schedulefree": "schedulefree"}
"""`optim.optimizer` -> package."""


def needs_package(optimizer: str) -> str | None:
    """Why the optimizer cannot be used here, as a sentence; None where it can."""
    package = PACKAGES.get(optimizer)
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"optim.optimizer={optimizer} needs the package {package}: pip install -e '.[baselines]'"
