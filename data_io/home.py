"""The folder that holds everything a run writes, for `data_io` and `sweep`: found, and tried for locks."""

import fcntl
import os
from pathlib import Path
from tempfile import TemporaryFile

from data_io.errors import DataError


def find_home() -> Path:
    """`mlruns` in the current directory, or what SWEEP_HOME names, with `~` expanded; absolute.

    Raises DataError where `~` names a user whose home folder is not known.
    """
    named = os.environ.get("SWEEP_HOME") or "mlruns"
    try:
        return Path(named).expanduser().resolve()
    except RuntimeError as error:
        raise DataError(
            f"the home folder in SWEEP_HOME={named} is not known: name the folder by its whole path"
        ) from error


def lock_trouble(folder: Path) -> str | None:
    """Why files in a folder cannot be locked, which must exist; None if they can.

    Without locks two processes would write over each other. Raises OSError where nothing can be written.
    """
    with TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"the file system of {folder} does not lock files ({error.strerror})"
    return None


def require_locks(folder: Path, option: str) -> None:
    """Raises DataError where files in a folder cannot be locked; `option` names another folder."""
    if trouble := lock_trouble(folder):
        raise DataError(f"{trouble}: name a folder on a local disk by {option}")
