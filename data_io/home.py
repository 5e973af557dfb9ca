"""The folder that holds everything a run writes: the one way to find it, for `data_io` and `sweep` alike."""

import os
from pathlib import Path

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
