"""Files of tensors and plain values, written atomically, and loaded without running code from them."""

import os
import threading
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`: whole or not at all, even if the machine stops in the middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # By thread: several may train in one process, and two attempts at one trial may overlap.
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU.

    Raises:
        ValueError: the file is not a checkpoint, or its `config` differs from the one given; the message
            names the fields that differ.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises half a dozen kinds of error for a file it cannot read
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} is not a checkpoint of this program")
    if config is not None and state.get("config") != config:
        fields = ", ".join(_differing(state.get("config") or {}, config))
        raise ValueError(f"the checkpoint {path} belongs to another config; they differ in {fields}")
    return state


def _differing(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _differing(a, b, f"{prefix}{key}.")
        elif a != b:
            names.append(f"{prefix}{key} ({a} -> {b})")
    return names
